"""A plain training loop, without Lightning: metered, and scored with the metric.

    python examples/plain_loop.py

Needs nothing but the package. The meter takes the GPU that is named, and the processor.
"""

import torch

from lightning_pepr import Cost, ModelSpace, PePR, open_meter

torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
inputs = torch.randn(4096, 32, device=device)
labels = (inputs[:, :4].sum(1) > 0).long()
model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2)).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
score = PePR(ModelSpace.budget(energy_kwh=2e-5), resource="energy")  # 72 J

with open_meter([device]) as meter:
    begin = meter.read()
    for epoch in range(5):
        for batch, target in zip(inputs[:3072].split(64), labels[:3072].split(64), strict=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(batch), target).backward()
            optimizer.step()
        accuracy = (model(inputs[3072:]).argmax(1) == labels[3072:]).float().mean()
        spent = meter.read() - begin  # since the first epoch began, and how far off that may be
        score.update(accuracy, Cost(energy_kwh=spent.energy_j / 3.6e6, time_s=spent.time_s))
        joules = f"{spent.energy_j:.2f} ± {spent.error_j:.2f} J"
        print(f"epoch {epoch}  P {accuracy:.3f}  {joules}  PePR-E {score.compute():.3f}")

for key, part in spent.parts.items():
    print(f"{key}: {part.energy_j:.2f} J, {part.quality.value}")

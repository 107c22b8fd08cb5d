"""A meter without Lightning: what does a plain training loop cost, and how does it score?

    python examples/plain_loop.py

Needs nothing but the package. The meter takes the GPUs that torch uses, and the processor.
"""

import torch

from lightning_pepr import Cost, ModelSpace, open_meter, pepr

torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
inputs = torch.randn(4096, 32, device=device)
labels = (inputs[:, :4].sum(1) > 0).long()
model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2)).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
space = ModelSpace.budget(energy_kwh=2e-5)  # 72 J

with open_meter([device]) as meter:
    begin = meter.read()
    for epoch in range(5):
        for batch, target in zip(inputs[:3072].split(64), labels[:3072].split(64), strict=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(batch), target).backward()
            optimizer.step()
        accuracy = (model(inputs[3072:]).argmax(1) == labels[3072:]).float().mean().item()
        spent = meter.read() - begin
        cost = Cost(energy_kwh=spent.energy_j / 3.6e6, time_s=spent.time_s)
        score = pepr(accuracy, space.normalize(cost.energy_kwh, "energy"))
        print(f"epoch {epoch}  P {accuracy:.3f}  {spent.energy_j:.2f} ± {spent.error_j:.2f} J  PePR-E {score:.3f}")

for key, part in spent.parts.items():
    print(f"{key}: {part.energy_j:.2f} J, {part.quality.value}")

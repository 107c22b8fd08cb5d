"""A loop of Lightning Fabric, metered and scored with the metric. It stops when another epoch is not worth its energy.

    python examples/fabric_loop.py

Needs nothing but the package.
"""

import torch
from lightning.fabric import Fabric
from torch.utils.data import DataLoader, TensorDataset

from lightning_pepr import Cost, ModelSpace, PePR, open_meter

fabric = Fabric(accelerator="auto", devices=1)
fabric.seed_everything(0)
inputs = torch.randn(4096, 32)
labels = (inputs[:, :4].sum(1) > 0).long()
train = fabric.setup_dataloaders(DataLoader(TensorDataset(inputs[:3072], labels[:3072]), 64, shuffle=True))
held_out, truth = fabric.to_device((inputs[3072:], labels[3072:]))
model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))
model, optimizer = fabric.setup(model, torch.optim.Adam(model.parameters(), lr=1e-3))
score = PePR(ModelSpace.budget(energy_kwh=1e-5), resource="energy").to(fabric.device)  # 36 J

best = 0.0
with open_meter([fabric.device]) as meter:  # the GPU of this process, and the processor
    begin = meter.read()
    for epoch in range(50):
        for batch, target in train:
            optimizer.zero_grad()
            fabric.backward(torch.nn.functional.cross_entropy(model(batch), target))
            optimizer.step()
        accuracy = (model(held_out).argmax(1) == truth).float().mean()
        spent = meter.read() - begin
        score.update(accuracy, Cost(energy_kwh=spent.energy_j / 3.6e6, time_s=spent.time_s))
        fabric.print(f"epoch {epoch}  P {accuracy:.3f}  {spent.energy_j:.2f} J  PePR-E {score.compute():.3f}")
        if score.compute() < best - 0.01:
            break
        best = max(best, score.compute().item())

"""The claims about measuring, on a real NVIDIA GPU: `python -m tests.gpu`, or `make test-gpu`.

Needs torch with CUDA, lightning, torchmetrics, nvidia-ml-py, numpy and psutil, and nothing else; not even pytest.
Prints each claim with the figure that was measured, and ends with status 1 if one does not hold.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from typing import NamedTuple

from lightning_pepr.meters import open_meter
from lightning_pepr.meters.nvml import Board, find_boards
from lightning_pepr.meters.power import PowerWatch


class Figure(NamedTuple):
    """What was claimed, what was measured, and whether it holds."""

    claim: str
    figure: str
    holds: bool


@contextmanager
def matmul_load() -> Iterator[None]:
    """Keep the first CUDA device busy with large matrix products, from another thread."""
    import torch

    stop = threading.Event()
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)

    def work() -> None:
        while not stop.is_set():
            for _ in range(4):
                a @ a
            torch.cuda.synchronize()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    time.sleep(1.0)  # until clocks and power have risen
    try:
        yield
    finally:
        stop.set()
        thread.join()


def board_of(device: int | str) -> Board:
    (board,) = find_boards([device])
    return board


def counter_ticks(board: Board, seconds: float = 5.0) -> list[Figure]:
    """How often the counter moves, and how long calls take."""
    if board.read_counter is None:
        return [Figure("the board has an energy counter", "it has none", False)]
    ticks, latencies, last = [], [], board.read_counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        begin = time.perf_counter()
        value = board.read_counter()
        latencies.append(time.perf_counter() - begin)
        if value != last:
            ticks.append(time.monotonic())
            last = value
        time.sleep(0.0005)
    periods = [b - a for a, b in pairwise(ticks)]
    if len(periods) < 5:
        return [Figure("the counter moves", f"{len(ticks)} times in {seconds:g} s", False)]
    period, spread = statistics.median(periods), statistics.quantiles(periods, n=20)
    latency = statistics.median(latencies)
    return [
        Figure(
            "the counter ticks every 10 to 200 ms",
            f"{period * 1e3:.1f} ms (5 to 95 %: {spread[0] * 1e3:.1f} to {spread[-1] * 1e3:.1f} ms)",
            0.01 <= period <= 0.2,
        ),
        Figure("a call takes less than 5 ms", f"{latency * 1e6:.0f} µs (median)", latency < 0.005),
    ]


def counter_against_power(device: str, seconds: float = 10.0) -> list[Figure]:
    """The energy of one window by the counter, and by summing up the power."""
    board = board_of(device)
    if board.read_counter is None or board.read_power is None:
        return [Figure("counter and power can be read", "one of them cannot", False)]
    watch = PowerWatch("pepr-check", board.read_power, board.limit, board.window)
    try:
        with open_meter([device]) as meter:
            time.sleep(3.0)  # until the power's ticks are known
            key = f"gpu:{board.uuid}"
            at = time.monotonic()
            watch.post(at)
            a = meter.read(wait=False)
            time.sleep(seconds)
            until = time.monotonic()
            watch.post(until)
            b = meter.read(wait=False)
            counted = (meter.settle(b) - meter.settle(a)).parts[key]
            time.sleep(1.0)
            summed = watch.part(until, time.monotonic() + 1.0) - watch.part(at, time.monotonic() + 1.0)
    finally:
        watch.close(time.monotonic() + 1.0)
    ratio = summed.energy_j / counted.energy_j
    return [
        Figure(
            f"over {seconds:g} s, summed power is within 10 % of the counter",
            f"{summed.energy_j:.1f} J against {counted.energy_j:.1f} J, ratio {ratio:.4f}",
            abs(ratio - 1) < 0.10,
        ),
        Figure(
            f"the counter's stated error over {seconds:g} s is at most 1.5 %",
            f"{counted.error_j / counted.energy_j:.2%}",
            counted.error_j <= 0.015 * counted.energy_j,
        ),
    ]


def known_load(
    device: str, load: Callable[[], AbstractContextManager[None]] = matmul_load, seconds: float = 10.0
) -> list[Figure]:
    """The mean power of a known load against the board's power limit."""
    board = board_of(device)
    with open_meter([device]) as meter, load():
        a = meter.read()
        time.sleep(seconds)
        window = meter.read() - a
    part = window.parts[f"gpu:{board.uuid}"]
    mean = part.energy_j / window.time_s
    return [
        Figure(
            "matrix products draw between 30 % and 102 % of the power limit",
            f"{mean:.0f} W of {board.limit:.0f} W, by {part.quality.value}",
            0.30 * board.limit <= mean <= 1.02 * board.limit,
        )
    ]


MAPPING = """
import json, sys
import pynvml, torch
from lightning_pepr.meters import open_meter

pynvml.nvmlInit()
handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
boards = {pynvml.nvmlDeviceGetUUID(handle): handle for handle in handles}
used = lambda: {uuid: pynvml.nvmlDeviceGetMemoryInfo(h).used for uuid, h in boards.items()}
if not torch.cuda.is_available():
    print(json.dumps([[], []]))
    sys.exit()
torch.zeros(1, device="cuda")
before = used()
block = torch.zeros(2**31, dtype=torch.uint8, device="cuda")  # 2 GiB
after = used()
grown = [uuid for uuid in boards if after[uuid] - before[uuid] > 2**30]
with open_meter([torch.device("cuda", 0)]) as meter:
    metered = [key[4:] for key in meter.read(wait=False).parts if key.startswith("gpu:")]
print(json.dumps([grown, metered]))
"""


def mapping(uuids: list[str]) -> list[Figure]:
    """The board that is metered is the one whose memory grows, whatever CUDA_VISIBLE_DEVICES says."""
    figures = []
    indices = [str(index) for index in range(len(uuids))]
    visible = {"": [], ",".join(indices): uuids, ",".join(reversed(indices)): uuids, uuids[-1]: uuids, "unset": uuids}
    for value in visible:
        for order in ("FASTEST_FIRST", "PCI_BUS_ID"):
            environment = {**os.environ, "CUDA_DEVICE_ORDER": order, "CUDA_VISIBLE_DEVICES": value}
            if value == "unset":
                del environment["CUDA_VISIBLE_DEVICES"]
            done = subprocess.run([sys.executable, "-c", MAPPING], env=environment, capture_output=True, text=True)
            grown, metered = json.loads(done.stdout) if done.returncode == 0 else (["?"], [done.stderr[-200:]])
            claim = f"CUDA_VISIBLE_DEVICES={value!r}, {order}: the board in use is metered"
            figures.append(Figure(claim, f"{metered or 'no GPU'}", metered == grown))
    return figures


def overhead(steps: int = 500, rounds: int = 5) -> list[Figure]:
    """The wall time of a training step with the callback, as a ratio to that with an empty callback."""
    import torch
    from lightning.pytorch import Callback, LightningModule, Trainer
    from torch.utils.data import DataLoader, TensorDataset

    from lightning_pepr import ModelSpace, PePRCallback

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(*(torch.nn.Linear(1024, 1024) for _ in range(8)))

        def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
            return self.layers(batch[0]).square().mean()

        def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
            self.log("val_acc", torch.tensor(0.5))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=1e-3)

    data = TensorDataset(torch.randn(steps * 8, 1024))

    def seconds(callback: Callback) -> float:
        trainer = Trainer(
            accelerator="gpu", devices=1, max_epochs=1, callbacks=[callback], logger=False, num_sanity_val_steps=0,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        begin = time.perf_counter()
        trainer.fit(Module(), DataLoader(data, batch_size=8), DataLoader(TensorDataset(torch.randn(8, 1024))))
        torch.cuda.synchronize()
        return time.perf_counter() - begin

    seconds(Callback())  # warm up
    space = ModelSpace.budget(energy_kwh=1.0)
    ratios = [seconds(PePRCallback("val_acc", space=space, record=False)) / seconds(Callback()) for _ in range(rounds)]
    ratio = statistics.median(ratios)
    return [Figure("an epoch takes at most 5 % longer with the callback", f"{ratio:.3f} times", ratio < 1.05)]


def main() -> int:
    import torch

    if not torch.cuda.is_available():
        print("there is no CUDA device here; nothing was checked.")
        return 1
    import pynvml

    pynvml.nvmlInit()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    uuids = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
    device = f"GPU-{torch.cuda.get_device_properties(0).uuid}".replace("GPU-GPU-", "GPU-")
    print(f"{torch.cuda.get_device_name(0)}, driver {pynvml.nvmlSystemGetDriverVersion()}, torch {torch.__version__}\n")
    figures = mapping(uuids)
    with matmul_load():
        figures += counter_ticks(board_of(device))
        figures += counter_against_power(device)
    figures += known_load(device)
    figures += overhead()
    print("| claim | measured | holds |\n| --- | --- | --- |")
    for figure in figures:
        print(f"| {figure.claim} | {figure.figure} | {'yes' if figure.holds else '**no**'} |")
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

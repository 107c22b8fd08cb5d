"""A simulated NVIDIA driver, whose true energy is known, for the real pynvml.

A test makes a `SimDriver` and runs a script against it in a process of its own::

    sim = SimDriver(SimDevice(low=70, high=320, wave=0.73, duty=0.4))
    done = sim.run("from tests.simnvml import SimDriver; ...")

The script finds the same simulation by `SimDriver.current()`, and asks it for the truth: times are those of
`time.monotonic`, which is the clock that the simulation runs by. Times of faults are in seconds after its
epoch; `start(...)` moves the epoch to the present, before the driver is first used, so that a script that takes
its time to import things can still say when something is to happen.
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NEVER = math.inf


@dataclass
class SimDevice:
    """One board; powers in W, times in s, those of events after the epoch.

    Attributes:
        low, high, wave, duty, wave_phase: A square wave of that period, `high` for the share `duty` of it,
            beginning at `wave_phase`. `wave=0` is steadily `high`.
        counter: Whether there is an energy counter; it ticks every `period`, at `phase`, give or take `jitter`.
        power: Whether there is a power reading: the mean over `power_window` (None: the update interval) up to
            its last tick, every `power_period` at `power_phase`; `instant`: whether
            NVML_FI_DEV_POWER_INSTANT gives it over `instant_window` too.
        lost_at, lost_until: When the board is lost.
        reset_at: When its counter starts anew from 0.
        denied_at: From when on its sensors need a permission that is not there.
        hang_at, hang_s: When calls begin to hang, and for how long.
        freeze_at, thaw_at: From when until when the counter stands still; what it then shows includes what it missed.
        counter_gain: What the counter shows of each joule.
        dip_at, dip_j, dip_every: From when on each n-th read (`dip_every`) of the counter is so many joules too low.
        garbled_at, garbled_until, garbled_mw: From when until when the power reads that, by default 0xFFFFFFFF mW.
        nan_power: Whether NVML_FI_DEV_POWER_INSTANT is a double that is NaN.
        bad_uuid, bad_name: Whether the UUID, or the name, is no UTF-8.
        no_limit: Whether the power limits are not supported.
        migs: UUIDs of its MIG instances.
    """

    uuid: str = ""
    name: str = "NVIDIA Simulated"
    low: float = 70.0
    high: float = 320.0
    wave: float = 0.73
    duty: float = 0.4
    wave_phase: float = 0.0
    counter: bool = True
    period: float = 0.1
    phase: float = 0.0377
    jitter: float = 0.0
    offset_mj: int = 123_456_789
    power: bool = True
    power_period: float = 0.1
    power_phase: float = 0.0377
    power_window: float | None = None
    instant: bool = True
    instant_window: float | None = None
    arch: int = 9
    limit: float = 700.0
    lost_at: float = NEVER
    lost_until: float = NEVER
    reset_at: float = NEVER
    denied_at: float = NEVER
    hang_at: float = NEVER
    hang_s: float = 0.0
    freeze_at: float = NEVER
    thaw_at: float = NEVER
    counter_gain: float = 1.0
    dip_at: float = NEVER
    dip_j: float = 50.0
    dip_every: int = 3
    garbled_at: float = NEVER
    garbled_until: float = NEVER
    garbled_mw: int = 0xFFFFFFFF
    nan_power: bool = False
    bad_uuid: bool = False
    bad_name: bool = False
    no_limit: bool = False
    migs: list[str] = field(default_factory=list)

    def energy_j(self, t: float) -> float:
        """Joules from the epoch to `t` seconds after it."""
        if self.wave <= 0 or self.low == self.high:
            return self.high * t
        return self.low * t + (self.high - self.low) * (self._on(t) - self._on(0.0))

    def _on(self, t: float) -> float:
        whole, part = divmod((t - self.wave_phase) / self.wave, 1.0)
        return (whole * self.duty + min(part, self.duty)) * self.wave


class SimDriver:
    """A host with these boards.

    Args:
        devices: The boards; one of the default kind if none is given.
        latency: What each call takes, in s.
        init_error: NVML's error code that `nvmlInit` ends with.
        init_hang_s: How long `nvmlInit` hangs, in s.
        epoch: When the simulation begins; of `time.monotonic`.
    """

    def __init__(
        self,
        *devices: SimDevice,
        latency: float = 0.0,
        init_error: int = 0,
        init_hang_s: float = 0.0,
        epoch: float | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self.devices = list(devices) or [SimDevice()]
        for index, device in enumerate(self.devices):
            device.uuid = device.uuid or f"GPU-5{index:07x}-0000-4000-8000-{index:012x}"
        self.latency, self.init_error, self.init_hang_s = latency, init_error, init_hang_s
        self.epoch = time.monotonic() if epoch is None else epoch
        self.folder = Path(tempfile.mkdtemp(prefix="simnvml-") if folder is None else folder)
        self._write()

    @property
    def uuids(self) -> list[str]:
        return [device.uuid for device in self.devices]

    @property
    def config(self) -> Path:
        return self.folder / "simnvml.conf"

    def start(self, **faults: float) -> SimDriver:
        """Move the epoch to now, and set when the first board's faults come; before the driver is first used."""
        self.epoch = time.monotonic()
        self.devices[0] = dataclasses.replace(self.devices[0], **faults)  # type: ignore[arg-type]
        self._write()
        return self

    def truth(self, device: int, begin: float, end: float) -> float:
        """Joules that a board draws between two moments of `time.monotonic`."""
        board = self.devices[device]
        return board.energy_j(end - self.epoch) - board.energy_j(begin - self.epoch)

    def env(self) -> dict[str, str]:
        """The environment of a process that is to see these boards."""
        path = os.environ.get("LD_LIBRARY_PATH")
        search = os.environ.get("PYTHONPATH")
        return {
            **os.environ,
            "SIMNVML": str(self.config),
            "LD_LIBRARY_PATH": os.pathsep.join([str(build().parent), *([path] if path else [])]),
            "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), *([search] if search else [])]),
        }

    def run(self, script: str, timeout: float = 120.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a script against these boards, in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-c", script], env=self.env(), capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode:
            raise AssertionError(f"the script ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def ask(self, script: str, timeout: float = 120.0) -> Any:
        """Run a script, and parse what it prints last as JSON."""
        return json.loads(self.run(script, timeout).stdout.strip().splitlines()[-1])

    @staticmethod
    def current() -> SimDriver:
        """The simulation that this process runs in."""
        path = Path(os.environ["SIMNVML"])
        saved = json.loads(path.read_text().splitlines()[0][1:])
        devices = [SimDevice(**device) for device in saved.pop("devices")]
        return SimDriver(*devices, folder=path.parent, **saved)

    @staticmethod
    def calls() -> int:
        """How many calls of the driver this process has made."""
        count = ctypes.CDLL("libnvidia-ml.so.1").simnvml_calls
        count.restype = ctypes.c_long
        return int(count())

    def _write(self) -> None:
        saved = {
            "devices": [dataclasses.asdict(device) for device in self.devices],
            "latency": self.latency,
            "init_error": self.init_error,
            "init_hang_s": self.init_hang_s,
            "epoch": self.epoch,
        }
        lines = ["#" + json.dumps(saved)]
        lines += [f"{key} {value!r}" for key, value in saved.items() if key != "devices"]
        for device in self.devices:
            lines.append("device 0")
            values = dataclasses.asdict(device)
            migs = values.pop("migs")
            for window, period in (("power_window", "power_period"), ("instant_window", "power_period")):
                values[window] = values[period] if values[window] is None else values[window]
            for key, value in values.items():
                lines.append(f"{key} {int(value) if isinstance(value, bool) else value}")
            lines += [f"mig {uuid}" for uuid in migs]
        fresh = self.config.with_suffix(f".{os.getpid()}")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self.config)


def build() -> Path:
    """The simulated driver, compiled if it has not been yet; its path ends with libnvidia-ml.so.1."""
    source = HERE / "simnvml.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"simnvml-{os.getuid()}-{digest}" / "libnvidia-ml.so.1"
    if not library.exists():
        library.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = library.with_suffix(f".{os.getpid()}")
        command = ["gcc", "-O2", "-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1", "-o", str(fresh), str(source)]
        subprocess.run([*command, "-lm", "-lpthread"], check=True)
        fresh.replace(library)
    return library


def pretend_torch(sim: SimDriver, visible: str | None = None, **changes: object) -> None:
    """Put a stand-in for torch into `sys.modules`, whose CUDA has these boards; for a process without torch.

    Args:
        sim: The simulation.
        visible: `CUDA_VISIBLE_DEVICES`, by which CUDA chooses and orders the boards: indices, UUIDs (or their
            beginnings), nothing, or None if it is not set. A MIG instance is known by its UUID, as in CUDA.
        changes: Attributes of the stand-in for `torch.cuda` to change.
    """
    uuids = [uuid for device in sim.devices for uuid in ([device.uuid] if not device.migs else device.migs[:1])]
    if visible is not None:
        chosen = []
        for name in filter(None, visible.split(",")):
            known = [uuid for device in sim.devices for uuid in (device.uuid, *device.migs)]
            found = [uuids[int(name)]] if name.isdigit() else [uuid for uuid in known if uuid.startswith(name)]
            chosen.append(found[0])
        uuids = chosen
    cuda = types.SimpleNamespace(
        is_available=lambda: bool(uuids),
        is_initialized=lambda: False,
        device_count=lambda: len(uuids),
        current_device=lambda: 0,
        get_device_name=lambda index: "Stand-in",
        get_device_properties=lambda index: types.SimpleNamespace(uuid=uuids[index].split("-", 1)[1]),
    )
    cuda.__dict__.update(changes)
    torch = types.ModuleType("torch")
    torch.cuda = cuda  # type: ignore[attr-defined]
    torch.version = types.SimpleNamespace(hip=None)  # type: ignore[attr-defined]
    mps = types.SimpleNamespace(is_available=lambda: False)
    torch.backends = types.SimpleNamespace(mps=mps)  # type: ignore[attr-defined]
    sys.modules["torch"] = torch

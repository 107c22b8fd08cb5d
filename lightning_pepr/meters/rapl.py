"""The processor's own energy counters (RAPL), as the Linux kernel's powercap shows them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lightning_pepr.meters.base import EnergySource, Part, Quality
from lightning_pepr.utilities.environment import host_name

POWERCAP = Path("/sys/class/powercap")

GAIN = 0.05
"""Relative uncertainty of the counters themselves."""

MOST_WATTS = 1500.0
"""No socket draws more: a counter that seems to say so did not wrap around, but was reset."""

UPDATE_S = 0.001
"""Seconds between updates of the counters."""

PATIENCE = 1.0
"""Seconds that the thread is given to end, at the very most: a look takes microseconds."""


@dataclass
class Domain:
    """One counter: "package-0", or "package-0 dram"."""

    name: str
    path: Path
    span_uj: int  # after so many microjoules it begins again from 0
    last_uj: int = 0  # what it read when it was found

    def read(self) -> int:
        """What it reads now, in microjoules. Raises `OSError` or `ValueError` if it cannot be read."""
        return int((self.path / "energy_uj").read_text())


def find_domains(root: Path = POWERCAP) -> list[Domain]:
    """Find the counters of packages, and of the memory beside them, that can be read.

    Cores and graphics are parts of their package. The platform (psys) would count all of it twice, as would
    the second way (mmio) to the counters of the same package. Since 2020 the kernel lets only root read them, unless
    the administrator allows it.
    """
    found: dict[str, Domain] = {}
    for folder in sorted(root.glob("*"), key=lambda path: ("mmio" in path.name, path.name)):
        try:
            name = (folder / "name").read_text().strip()
            if name == "dram":
                package = root / folder.name.rpartition(":")[0] / "name"
                name = f"{package.read_text().strip() if package.exists() else folder.name} dram"
            elif not name.startswith("package"):
                continue
            domain = Domain(name, folder, int((folder / "max_energy_range_uj").read_text()))
            domain.last_uj = domain.read()
        except (OSError, ValueError):
            continue
        found.setdefault(name, domain)
    return list(found.values())


class Look(NamedTuple):
    """What a counter showed, when, and the mean watts before that."""

    value_uj: int
    when: float
    watts: float = 0.0


class Count(NamedTuple):
    """The latest look at each counter, and what all of them have counted up to it."""

    looks: tuple[Look, ...]
    energy_uj: int = 0
    losses: int = 0
    reason: str = ""


class RaplSource(EnergySource):
    """The energy of the processor's packages and of the memory beside them: of the whole host.

    The counters wrap around after a few minutes to an hour, so a daemon thread reads them often enough in between
    to see that they did. A signal handler may read them while they are read: each reading goes from one whole count
    to the next, and puts it in place at once.
    """

    def __init__(self, domains: list[Domain]) -> None:
        self._key = f"cpu:{host_name()}"
        self._lock = threading.RLock()
        self._domains = domains
        self._count = Count(tuple(Look(domain.last_uj, time.monotonic()) for domain in domains))
        self._marked = False
        shortest = min(domain.span_uj for domain in domains) / 1e6 / MOST_WATTS
        self._interval = min(60.0, max(0.05, shortest / 3))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pepr-rapl", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopping.wait(self._interval):
            with self._lock:
                self._count = self._go_on(self._count, marking=False)

    def _go_on(self, count: Count, marking: bool) -> Count:
        """Add what each counter has counted since it was looked at."""
        (looks, energy_uj, losses, reason), new = count, list(count.looks)
        for index, (domain, look) in enumerate(zip(self._domains, looks, strict=True)):
            try:
                value = domain.read()
            except (OSError, ValueError) as error:
                if marking:  # a boundary is what may lose something, not each look
                    losses += 1
                    reason = f"RAPL {domain.name} cannot be read: {error}"
                continue
            now = time.monotonic()
            step = value - look.value_uj
            if step < 0:
                step += domain.span_uj  # it wrapped around
            elapsed = now - look.when
            most = (elapsed + 1.0) * MOST_WATTS * 1e6
            if step > most or step < 0:
                losses += 1
                if look.value_uj / 2 < value < look.value_uj:
                    # Its way back up is no energy, so that it counts from where it was.
                    reason = f"RAPL {domain.name} went backwards"
                    new[index] = look._replace(when=now)
                    continue
                reason = f"RAPL {domain.name} was reset"
                step = value if value <= most else 0
            new[index] = Look(value, now, step / 1e6 / elapsed if elapsed > 0.01 else look.watts)
            energy_uj += step
        return Count(tuple(new), energy_uj, losses, reason)

    def mark(self, at: float) -> dict[str, Part]:
        """The energy now; final at once."""
        with self._lock:
            count = self._count
            if not self._marked:  # count from here
                count = self._go_on(count, marking=False)._replace(energy_uj=0)
            self._count = count = self._go_on(count, marking=True)
            self._marked = True
        edge = sum(max(look.watts, 10.0) for look in count.looks) * UPDATE_S
        part = Part(count.energy_uj, Quality.COUNTER, edge, edge, 0.0, count.losses, count.reason, GAIN)
        return {self._key: part}

    def close(self) -> None:
        """Stop the thread; may be called twice."""
        self._stopping.set()
        self._thread.join(PATIENCE)

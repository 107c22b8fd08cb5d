"""What can be measured on this host, how well, and what to do where it cannot."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from lightning_pepr.carbon import resolve_intensity
from lightning_pepr.meters import HostMeter, Reading
from lightning_pepr.meters.devices import chosen_gpus
from lightning_pepr.meters.estimate import watts_per_core
from lightning_pepr.meters.nvml import GAIN, Board, find_boards, within
from lightning_pepr.meters.rapl import POWERCAP, find_domains
from lightning_pepr.utilities.environment import describe_software, processor_name

SCHEMA = "lightning-pepr/doctor/1"
LOOK_S = 1.5
"""Seconds for which a counter or a power is looked at, at the most, to see when it moves."""

TICKS = 12
"""So many ticks are enough."""

DRIVER_S = 10.0
"""Seconds after which a driver is taken to hang: nobody trains meanwhile, and a cold start takes a few."""

CALLS = 30
"""How many calls are timed."""

EXTRAS = ("carbon", "cli", "mlflow", "ray", "report", "study", "wandb")
LOGGERS = {"tensorboard": "TensorBoardLogger", "mlflow": "MLFlowLogger", "wandb": "WandbLogger"}

Facts = dict[str, Any]


def examine(
    *,
    seconds: float = 5.0,
    carbon_intensity: float | str | None = None,
    pue: float = 1.0,
    powercap: Path = POWERCAP,
    environment: Mapping[str, str] | None = None,
) -> Facts:
    """Try every meter of this host.

    Uses `nvmlDeviceGetCount`, `nvmlDeviceGetName`, `nvmlSystemGetDriverVersion`, and what the meters use.

    Args:
        seconds: How long the self-test of the GPUs takes; 0 leaves it out.
        carbon_intensity: As of `PePRCallback`, to see what it stands for.
        pue: As of `PePRCallback`.
        powercap: Where the processor's counters are.
        environment: The environment variables, which tell of torchrun and SLURM; None is this process's.

    Returns:
        Plain types: `gpus`, `cpu`, `memory`, `carbon`, `ranks`, `loggers`, `extras`, `versions`, `selftest`;
        `troubles`, each with `what`, what to `do`, and whether it is `grave`; and `measured`, whether there is a meter
        that does more than to estimate.

    Raises:
        ValueError: If `seconds`, `carbon_intensity` or `pue` is out of its range.
    """
    if not 0 <= seconds <= 3600:
        raise ValueError(f"seconds is {seconds!r}; expected from 0 (no self-test) to 3600.")
    environment = os.environ if environment is None else environment
    intensity = resolve_intensity(carbon_intensity, pue)
    troubles: list[Facts] = []
    gpus = _gpus(troubles)
    cpu = _processor(powercap, troubles)
    metered = [gpu["uuid"] for gpu in gpus if gpu["meter"] != "unavailable"]
    found: Facts = {
        "schema": SCHEMA,
        "measured": bool(metered) or cpu["meter"] == "counter",
        "gpus": gpus,
        "cpu": cpu,
        "memory": _memory(),
        "carbon": _carbon(intensity, troubles),
        "ranks": _ranks(environment, len(gpus), troubles),
        "loggers": {name: _version(name) for name in LOGGERS},
        "extras": _extras(troubles),
        "versions": describe_software(),
        "selftest": _selftest(gpus, metered, seconds, powercap, troubles) if metered and seconds else None,
        "troubles": troubles,
    }
    return found


# Graphics boards ------------------------------------------------------------------------------------------------------


def _gpus(troubles: list[Facts]) -> list[Facts]:
    """What there is of NVIDIA boards, and how each can be metered."""
    try:
        names, driver = within(DRIVER_S, _boards)
    except TimeoutError as error:
        _tell(troubles, f"NVIDIA: {error}.", "Run nvidia-smi. If it hangs, too, restart the driver or the host.", True)
        return []
    except Exception as error:
        if type(error).__name__ == "NVMLError_LibraryNotFound":
            _others(troubles)
        else:
            _tell(
                troubles,
                f"NVML cannot be used: {error}.",
                "Run nvidia-smi; install or restart NVIDIA's driver, and in a container start it with --gpus all.",
                True,
            )
        return []
    if not names:
        _tell(
            troubles, "NVIDIA's driver has no GPU for this process.", "In a container, start it with --gpus all.", False
        )
    return [_gpu(index, name, driver, troubles) for index, name in enumerate(names)]


def _boards() -> tuple[list[Facts], str]:
    import pynvml

    pynvml.nvmlInit()
    boards = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        facts: Facts = {"name": "", "uuid": "", "mig": 0, "processes": None}
        with contextlib.suppress(pynvml.NVMLError):  # a board that is lost still has an index
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            facts["name"], facts["uuid"] = (
                _text(call(handle)) for call in (pynvml.nvmlDeviceGetName, pynvml.nvmlDeviceGetUUID)
            )
            with contextlib.suppress(pynvml.NVMLError):
                facts["mig"] = int(pynvml.nvmlDeviceGetMigMode(handle)[0])
            with contextlib.suppress(pynvml.NVMLError):
                running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
                facts["processes"] = sum(1 for process in running if process.pid != os.getpid())
        boards.append(facts)
    return boards, _text(pynvml.nvmlSystemGetDriverVersion())


def _gpu(index: int, facts: Facts, driver: str, troubles: list[Facts]) -> Facts:
    """How one board can be metered: by which means, when that moves, and how long a call takes."""
    where = f"GPU {index}" + (f" ({facts['name']})" if facts["name"] else "")
    board = find_boards([facts["uuid"] or index])[0]
    read: Callable[[], float] | None = board.read_counter or board.read_power
    meter = "counter" if board.read_counter else "integrated" if board.read_power else "unavailable"
    gpu: Facts = {
        "index": index,
        **facts,
        "driver": driver,
        "meter": meter,
        "reason": board.reason if meter == "unavailable" else "",
        "limit_w": board.limit,
        "window_s": board.window if meter == "integrated" else None,
        "period_ms": None,
        "latency_ms": None,
        "gain": GAIN,
    }
    if read is None:
        do = "Ask for access to the GPU's sensors, or restart its driver; until then its energy is missing."
        _tell(troubles, f"{where}: {board.reason}", do, True)
        return gpu
    try:
        gpu["latency_ms"], gpu["period_ms"] = within(DRIVER_S, lambda: (_latency_ms(read), _period_ms(read)))
    except Exception as error:  # the driver hangs, or the board is lost meanwhile
        _tell(troubles, f"{where} stopped to answer: {error}.", "Run nvidia-smi; restart the driver if it hangs.", True)
        return gpu | {"meter": "unavailable", "reason": str(error)}
    if meter == "integrated":
        wide = f", which is a mean over {board.window:g} s" if board.window else ""
        _tell(
            troubles,
            f"{where} has no energy counter; its power is added up instead{wide}.",
            "Nothing, if runs take minutes. Boards from Volta on have a counter.",
            False,
        )
    if gpu["latency_ms"] > 50:
        _tell(
            troubles,
            f"{where}: a call of the driver takes {gpu['latency_ms']:.0f} ms.",
            "Turn persistence mode on: sudo nvidia-smi -pm 1",
            False,
        )
    if facts["mig"]:
        _tell(
            troubles,
            f"{where} is shared by MIG: the energy is that of the whole board.",
            "Compare runs that had the board for themselves.",
            False,
        )
    if facts["processes"]:
        _tell(
            troubles,
            f"{where} is used by others, too ({facts['processes']} processes), and their energy counts.",
            "Meter runs on a board that nobody else is on: nvidia-smi lists who is.",
            False,
        )
    return gpu


def _others(troubles: list[Facts]) -> None:
    """Boards that are not NVIDIA's, of which the energy is not metered."""
    there = "an AMD GPU" if Path("/dev/kfd").exists() else "an Apple GPU" if sys.platform == "darwin" else ""
    if there:
        do = "Nothing: all but its energy is measured; that and carbon are missing, and never 0."
        _tell(troubles, f"There is {there}, whose energy is not metered.", do, False)


def _latency_ms(read: Callable[[], float]) -> float:
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        read()
        took.append(time.perf_counter() - began)
        if sum(took) > 1.0 and len(took) >= 3:
            break
    return statistics.median(took) * 1e3


def _period_ms(read: Callable[[], float]) -> float | None:
    """Milliseconds between two moves; None if it did not move often enough, as a power that stays the same."""
    last, moves, end = read(), list[float](), time.monotonic() + LOOK_S
    while time.monotonic() < end and len(moves) < TICKS:
        time.sleep(0.001)
        value = read()
        if value != last:
            moves.append(time.monotonic())
            last = value
    gaps = [b - a for a, b in itertools.pairwise(moves)]
    return statistics.median(gaps) * 1e3 if len(gaps) >= 3 else None


# The host -------------------------------------------------------------------------------------------------------------


def _processor(powercap: Path, troubles: list[Facts]) -> Facts:
    """Whether the processor's counters can be read; if not, why, and what would make it so."""
    cpu: Facts = {"name": processor_name(), "threads": os.cpu_count(), "domains": []}
    domains = find_domains(powercap)
    if domains:
        return cpu | {
            "meter": "counter",
            "domains": [domain.name for domain in domains],
            "error": 0.05,
            "source": "RAPL",
        }
    core = watts_per_core()
    cpu |= {"meter": "estimated", "error": core.error, "source": f"{core.watts:.3g} W per busy thread, {core.source}"}
    counters = sorted(powercap.glob("*/energy_uj")) if powercap.is_dir() else []
    about = f"The CPU's energy is estimated (±{core.error:.0%})"
    if counters:
        names = sorted({path.parent.name.partition(":")[0] for path in counters})
        files = " ".join(f"{powercap}/{name}:*/energy_uj" for name in names)
        cpu["command"] = f"sudo chmod a+r {files}"
        do = f"{cpu['command']}   (until the next start of the host; any user can then read them)"
        _tell(troubles, f"{about}: its counters (RAPL) are there, and this user may not read them.", do, False)
    elif _is_virtual():
        do = "Nothing here: a virtual machine is not shown the counters of its host."
        _tell(troubles, f"{about}: this is a virtual machine, without RAPL.", do, False)
    elif sys.platform.startswith("linux"):
        cpu["command"] = "sudo modprobe intel_rapl_msr"
        do = f"{cpu['command']}   (and in a container, mount {powercap} into it)"
        _tell(troubles, f"{about}: {powercap} shows no RAPL counter.", do, False)
    else:
        _tell(troubles, f"{about}: RAPL is read on Linux alone.", "Nothing.", False)
    if core.error > 0.5 and not _is_virtual() and importlib.util.find_spec("codecarbon") is None:
        _tell(troubles, "The processor's design power is not known.", "pip install 'lightning-pepr[carbon]'", False)
    return cpu


def _is_virtual() -> bool:
    try:
        return " hypervisor" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def _memory() -> Facts:
    import psutil

    return {
        "total_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "resident_gb": round(psutil.Process().memory_info().rss / 1e9, 3),
        "meter": "torch's peak of reserved memory on CUDA; else resident memory, twice a second",
    }


def _carbon(intensity: Any, troubles: list[Facts]) -> Facts:
    if intensity is not None:
        return {
            "meter": "energy × intensity × PUE",
            "g_per_kwh": intensity.g_per_kwh,
            "pue": intensity.pue,
            "source": intensity.source,
        }
    table = _version("codecarbon")
    country = ', or a country such as "DNK"' if table else ""
    do = f"Give PePRCallback(…, carbon_intensity=…), in g CO2e per kWh{country}."
    _tell(troubles, "Carbon is not measured: where this machine draws its electricity is not guessed.", do, False)
    return {"meter": "unavailable", "g_per_kwh": None, "pue": None, "source": ""}


def _ranks(environment: Mapping[str, str], gpus: int, troubles: list[Facts]) -> Facts:
    """What a launcher says of ranks, and whether those of this host must share its boards."""
    # A rank of torchrun within a SLURM job is torchrun's.
    for launcher, names in (
        ("torchrun", ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")),
        ("SLURM", ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE")),
    ):
        values = [_whole(environment.get(name)) for name in names]
        if (
            values[0] is not None
            and values[1] is not None
            and (launcher == "SLURM" or "TORCHELASTIC_RUN_ID" in environment or values[2] is not None)
        ):
            break
    else:
        launcher, values = "", [0, 1, 0, 1]
    rank, world, local_rank, here = values
    if launcher == "SLURM" and here is None:
        here = world if _whole(environment.get("SLURM_NNODES")) == 1 else None
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    boards = gpus if visible is None else min(gpus, len(chosen_gpus([""] * gpus, visible)))
    # One board for each rank, chosen by the launcher, is no sharing; more ranks than boards is.
    own = launcher == "SLURM" and visible is not None and "SLURM_GPUS_PER_TASK" in environment
    shared = bool(here and boards and here > boards and not own)
    if shared:
        _tell(
            troubles,
            f"{here} ranks of this host share {boards} GPU{'s' * (boards > 1)}.",
            "Nothing, as to energy: each board counts once in a run. Another run on them would count as well.",
            False,
        )
    job = {
        name: environment[name] for name in ("SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_NODELIST") if name in environment
    }
    if launcher == "SLURM" and environment.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        do = "Start with srun, or give the job another name (-J)."
        _tell(troubles, "Lightning takes a SLURM job of this name for an interactive one, with one rank.", do, False)
    return {
        "launcher": launcher,
        "rank": rank,
        "ranks": world,
        "local_rank": local_rank,
        "ranks_here": here,
        "visible_gpus": boards,
        "cuda_visible_devices": visible,
        "shared": shared,
        "slurm": job,
    }


def _whole(text: str | None) -> int | None:
    """The number that a variable begins with: SLURM writes "4(x2)"."""
    digits = "".join(itertools.takewhile(str.isdigit, text or ""))
    return int(digits) if digits else None


# Packages -------------------------------------------------------------------------------------------------------------


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _extras(troubles: list[Facts]) -> Facts:
    """For each extra what of it is missing."""
    try:
        from packaging.requirements import Requirement

        needed = [Requirement(text) for text in metadata.requires("lightning-pepr") or []]
    except (ModuleNotFoundError, metadata.PackageNotFoundError):
        return {}
    found: Facts = {}
    for extra in EXTRAS:
        packages = [
            each.name for each in needed if each.marker and each.marker.evaluate({"extra": extra}) and not each.extras
        ]
        plain = [each.name for each in needed if each.marker and each.marker.evaluate({"extra": ""})]
        packages = [name for name in packages if name not in plain]
        if packages:
            missing = [name for name in packages if _version(name) is None]
            found[extra] = {"missing": missing}
            if missing:
                do = f"pip install 'lightning-pepr[{extra}]'"
                _tell(troubles, f"The extra {extra} is not complete: {', '.join(missing)}.", do, False)
    return found


# Under load -----------------------------------------------------------------------------------------------------------


def _selftest(
    gpus: Sequence[Facts], metered: list[str], seconds: float, powercap: Path, troubles: list[Facts]
) -> Facts:
    """Meter the boards for a while, under load if torch can make one; beside it, their power is looked at."""
    boards = {board.uuid: board for board in find_boards(metered)}
    with _load() as load, HostMeter(metered, powercap=powercap) as meter:
        time.sleep(min(LOOK_S, seconds))  # the ticks are found out, and the load comes up
        begin = meter.read()
        until = time.monotonic() + seconds
        watts: dict[str, list[float]] = {uuid: [] for uuid in boards}
        while time.monotonic() < until:
            for uuid, board in boards.items():
                watts[uuid] += _watts(board)
            time.sleep(0.02)
        window = meter.read() - begin
    parts = {}
    for gpu in gpus:
        part = window.parts.get(f"gpu:{gpu['uuid']}")
        if part is None:
            continue
        mean = statistics.fmean(watts[gpu["uuid"]]) if watts.get(gpu["uuid"]) else None
        known = part.energy_uj is not None and window.time_s > 0
        power = part.energy_j / window.time_s if known else None
        parts[gpu["uuid"]] = {
            "energy_j": part.energy_j if known else None,
            "error_j": part.error_j if known else None,
            "quality": part.quality.value,
            "mean_w": power,
            "sampled_w": mean,
            "reason": part.reason,
        }
        if power and mean and abs(power / mean - 1) > 0.1:
            _tell(
                troubles,
                f"GPU {gpu['index']}: its energy says {power:.0f} W, and its power {mean:.0f} W.",
                "Trust neither without a look at the board by another meter; report it with the output of --json.",
                True,
            )
        if part.lower_bound or not known:
            _tell(troubles, f"GPU {gpu['index']}: {part.reason or 'it could not be metered'}.", "Run nvidia-smi.", True)
    return {"seconds": window.time_s, "load": load, "gpus": parts, "cpu": _cpu_part(window)}


def _cpu_part(window: Reading) -> Facts:
    for key, part in window.parts.items():
        if key.startswith("cpu:") and part.energy_uj is not None:
            return {"energy_j": part.energy_j, "error_j": part.error_j, "quality": part.quality.value}
    return {}


def _watts(board: Board) -> list[float]:
    if board.read_power is None:
        return []
    try:
        return [board.read_power()]
    except Exception:  # what the meter makes of it is told
        return []


@contextlib.contextmanager
def _load() -> Iterator[str]:
    """Multiply matrices on all of torch's CUDA devices; gives what the load is."""
    import threading

    try:
        import torch

        # The driver's word is not enough: `is_available` takes it where PYTORCH_NVML_BASED_CUDA_CHECK is set, as
        # lightning sets it, and then CUDA may still not start.
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        matrices = [torch.randn(4096, 4096, device=f"cuda:{i}", dtype=torch.float16) for i in range(count)]
    except Exception as error:  # a torch that does not start is no reason to end
        yield f"none: torch does not start on the GPU ({type(error).__name__}), so the boards were as they are"
        return
    if not matrices:
        yield "none: torch has no CUDA device here, so the boards were as they are"
        return
    stop = threading.Event()

    def work(a: torch.Tensor) -> None:
        while not stop.is_set():
            for _ in range(8):
                a = (a @ a).clamp_(-1, 1)
            torch.cuda.synchronize(a.device)

    threads = [threading.Thread(target=work, args=(matrix,), daemon=True) for matrix in matrices]
    for thread in threads:
        thread.start()
    try:
        yield f"matrix products of torch on {len(threads)} device{'s' * (len(threads) > 1)}"
    finally:
        stop.set()
        for thread in threads:
            thread.join(5.0)


# In words -------------------------------------------------------------------------------------------------------------


def _tell(troubles: list[Facts], what: str, do: str, grave: bool) -> None:
    troubles.append({"what": what, "do": do, "grave": grave})


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def summarize(found: Facts) -> list[tuple[str, str, str, str]]:
    """The examination as rows: what, which, how it is measured, how well."""
    rows: list[tuple[str, str, str, str]] = []
    tested = (found["selftest"] or {}).get("gpus", {})
    for gpu in found["gpus"]:
        means = {
            "counter": "energy counter",
            "integrated": "power, added up",
            "unavailable": f"not measured: {gpu['reason']}",
        }
        well = []
        if gpu["period_ms"] is not None:
            well.append(f"ticks every {gpu['period_ms']:.0f} ms")
        elif gpu["latency_ms"] is not None:
            well.append("ticks not seen (steady)")
        if gpu["latency_ms"] is not None:
            well.append(f"{gpu['latency_ms']:.2g} ms a call")
        test = tested.get(gpu["uuid"])
        if test and test["energy_j"]:
            share = test["error_j"] / test["energy_j"]
            well.append(f"{test['mean_w']:.0f} W ±{share:.1%} over {found['selftest']['seconds']:.0f} s")
        if gpu["meter"] != "unavailable":
            well.append(f"sensor ±{gpu['gain']:.0%}")
        rows.append(
            (f"GPU {gpu['index']}", f"{gpu['name']}, driver {gpu['driver']}", means[gpu["meter"]], ", ".join(well))
        )
    if not found["gpus"]:
        rows.append(("GPU", "no NVIDIA GPU", "–", ""))
    cpu = found["cpu"]
    how = f"RAPL: {', '.join(cpu['domains'])}" if cpu["domains"] else f"estimated: {cpu['source']}"
    rows.append(("CPU", f"{cpu['name']}, {cpu['threads']} threads", how, f"±{cpu['error']:.0%}"))
    rows.append(
        (
            "Memory",
            f"{found['memory']['total_gb']:g} GB",
            found["memory"]["meter"],
            "short peaks of resident memory are missed",
        )
    )
    carbon = found["carbon"]
    known = carbon["g_per_kwh"] is not None
    rows.append(
        (
            "Carbon",
            f"{carbon['g_per_kwh']:g} g CO2e/kWh, PUE {carbon['pue']:g}" if known else "–",
            f"{carbon['meter']} ({carbon['source']})" if known else "not measured",
            "as its energy" if known else "",
        )
    )
    ranks = found["ranks"]
    which = f"{ranks['launcher']}: rank {ranks['rank']} of {ranks['ranks']}" if ranks["launcher"] else "one process"
    boards = f"{ranks['ranks_here']} here" if ranks["ranks_here"] is not None else "unknown how many here"
    rows.append(
        (
            "Ranks",
            which,
            f"{boards}, {ranks['visible_gpus']} GPUs",
            "shared boards" if ranks["shared"] else "each board and host once",
        )
    )
    loggers = [f"{LOGGERS[name]} ({name} {version})" for name, version in found["loggers"].items() if version]
    rows.append(("Loggers", ", ".join(["CSVLogger", *loggers]), "", ""))
    whole = [name for name, extra in found["extras"].items() if not extra["missing"]]
    rows.append(("Extras", ", ".join(whole) or "none", "", ""))
    rows.append(("Versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items()), "", ""))
    return rows


def print_examination(found: Facts) -> None:
    """Print the examination as a table (by rich, if it is installed), and each trouble with what to do about it."""
    heads = ("", "which", "measured by", "how well")
    rows = summarize(found)
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ModuleNotFoundError:
        for what, *others in rows:
            print(f"{what:10}{'; '.join(filter(None, others))}")
    else:
        console = Console()
        if not console.is_terminal:  # nobody reads it at a width: do not cut it
            console = Console(width=240)
        table = Table(box=box.SIMPLE_HEAD)
        for head in heads:
            table.add_column(head, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
    test = found["selftest"]
    if test:
        print(f"Self-test of {test['seconds']:.0f} s; load: {test['load']}.\n")
    for trouble in sorted(found["troubles"], key=lambda each: not each["grave"]):
        print(f"{'!' if trouble['grave'] else '-'} {trouble['what']}\n    {trouble['do']}")
    if found["troubles"]:
        print()
    print(
        "Energy is measured on this host."
        if found["measured"]
        else "Energy can only be estimated on this host: cheap is told from dear, and 10 % are not told apart."
    )


def to_json(found: Facts) -> str:
    """The examination as JSON."""
    return json.dumps(found, indent=1, allow_nan=False)

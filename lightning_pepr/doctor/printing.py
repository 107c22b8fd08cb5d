"""An examination in words."""

from __future__ import annotations

from lightning_pepr.doctor.boards import Gpu
from lightning_pepr.doctor.examination import LOGGERS, Examination
from lightning_pepr.doctor.selftest import SelfTest
from lightning_pepr.utilities.imports import is_installed
from lightning_pepr.utilities.text import open_console, text_table

Row = tuple[str, str, str, str]


def print_examination(found: Examination) -> None:
    """Print the examination as a table (by rich, if it is installed), and each trouble with what to do about it."""
    _print_table(table_rows(found))
    if found.selftest:
        print(f"Self-test of {found.selftest.seconds:.0f} s; load: {found.selftest.load}.\n")
    for trouble in sorted(found.troubles, key=lambda each: not each.severe):
        print(f"{'!' if trouble.severe else '-'} {trouble.what}\n    {trouble.do}")
    if found.troubles:
        print()
    words = "Energy can only be estimated on this host: models 10 % apart look alike, cheap and expensive ones do not."
    print("Energy is measured on this host." if found.measured else words)


def table_rows(found: Examination) -> list[Row]:
    """The examination as rows: what, which, how it is measured, how well."""
    cpu, carbon, ranks = found.cpu, found.carbon, found.ranks
    rapl = f"RAPL: {', '.join(cpu.domains)}" if cpu.domains else f"estimated: {cpu.source}"
    intensity = ("–", "not measured", "")
    if carbon.g_per_kwh is not None:
        which = f"{carbon.g_per_kwh:g} g CO2e/kWh, PUE {carbon.pue:g}"
        intensity = (which, f"{carbon.meter} ({carbon.source})", "as its energy")
    launched = f"{ranks.launcher}: rank {ranks.rank} of {ranks.ranks}" if ranks.launcher else "one process"
    here = f"{'unknown how many' if ranks.ranks_here is None else ranks.ranks_here} here, {ranks.visible_gpus} GPUs"
    loggers = [f"{LOGGERS[name]} ({name} {version})" for name, version in found.loggers.items() if version]
    complete = [name for name, extra in found.extras.items() if not extra["missing"]]
    return [
        *(_gpu_row(gpu, found.selftest) for gpu in found.gpus),
        *([] if found.gpus else [("GPU", "no NVIDIA GPU", "–", "")]),
        ("CPU", f"{cpu.name}, {cpu.threads} threads", rapl, f"±{cpu.error:.0%}"),
        ("Memory", f"{found.memory.total_gb:g} GB", found.memory.meter, "short peaks of resident memory are missed"),
        ("Carbon", *intensity),
        ("Ranks", launched, here, "shared boards" if ranks.shared else "each board and host once"),
        ("Loggers", ", ".join(["CSVLogger", *loggers]), "", ""),
        ("Extras", ", ".join(complete) or "none", "", ""),
        ("Versions", ", ".join(f"{name} {version}" for name, version in found.versions.items()), "", ""),
    ]


def _gpu_row(gpu: Gpu, selftest: SelfTest | None) -> Row:
    unmeasured = f"not measured: {gpu.reason}"
    meter = {"counter": "energy counter", "integrated": "power, added up"}.get(gpu.meter, unmeasured)
    well = []
    if gpu.latency_ms is not None:
        well.append(f"ticks every {gpu.period_ms:.0f} ms" if gpu.period_ms else "ticks not seen (steady)")
        well.append(f"{gpu.latency_ms:.2g} ms a call")
    test = selftest.gpus.get(gpu.uuid) if selftest else None
    if selftest and test and test.energy_j and test.error_j is not None:
        share = test.error_j / test.energy_j
        well.append(f"{test.mean_w:.0f} W ±{share:.1%} over {selftest.seconds:.0f} s")
    if gpu.meter != "unavailable":
        well.append(f"sensor ±{gpu.gain:.0%}")
    return f"GPU {gpu.index}", f"{gpu.name}, driver {gpu.driver}", meter, ", ".join(well)


def _print_table(rows: list[Row]) -> None:
    if not is_installed("rich"):
        for what, *others in rows:
            print(f"{what:10}{'; '.join(filter(None, others))}")
        return
    heads = ("", "which", "measured by", "how well")
    columns = dict(zip(heads, zip(*rows, strict=True), strict=True))
    open_console("printing a table").print(text_table(columns, left=heads, wrapped=heads))

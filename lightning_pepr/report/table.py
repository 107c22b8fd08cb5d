"""A ranking for a terminal: the table, and in one sentence what to take from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Any

from lightning_pepr.cost import CARBON, ENERGY, MEMORY, PARAMS, TIME, Resource

if TYPE_CHECKING:
    from rich.table import Table

    from lightning_pepr.sources import Runs

# The largest unit in which the largest amount of a column is at least 1.
UNITS: dict[Resource, tuple[tuple[float, str], ...]] = {
    ENERGY: ((1.0, "kWh"), (1e-3, "Wh"), (1e-6, "mWh")),
    CARBON: ((1e3, "kg"), (1.0, "g"), (1e-3, "mg")),
    TIME: ((3600.0, "h"), (60.0, "min"), (1.0, "s")),
    MEMORY: ((1.0, "GB"), (1e-3, "MB")),
    PARAMS: ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")),
}
HEADERS = {ENERGY: "energy", CARBON: "CO2e", TIME: "time", MEMORY: "memory", PARAMS: "params"}


def print_ranking(ranking: Runs, performance: str = "P", file: IO[str] | None = None) -> None:
    """Print what `rank` returned.

    Args:
        ranking: The table, one row a run.
        performance: What to call the performance, such as "test AUROC".
        file: Where to; None is standard output.

    Raises:
        ModuleNotFoundError: If rich is not installed.
    """
    try:
        from rich.console import Console
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("printing a table needs rich: pip install 'lightning-pepr[cli]'") from error
    console = Console(file=file)
    if not console.is_terminal:  # nobody reads it at a width: do not cut names off
        console = Console(file=file, width=240)
    console.print(build_table(ranking, performance))


def build_table(ranking: Runs, performance: str = "P") -> Table:
    """The ranking as a table of rich, with the columns that have something in them."""
    from rich import box
    from rich.table import Table

    columns: list[tuple[str, Iterable[Any], Callable[[Any], str]]] = [("", ranking["rank"], _plain)]
    if ranking["group"].count():
        columns.append(("group", ranking["group"], _plain))
    columns.append(("model", ranking["model"], _plain))
    for resource in (PARAMS, None, ENERGY, CARBON, TIME, MEMORY):
        if resource is None:
            columns.append((performance, ranking["performance"], _decimal))
        elif ranking[resource.field].count():
            scale, unit = _unit(resource, float(ranking[resource.field].max()))  # type: ignore[arg-type]
            header = f"{HEADERS[resource]} / {unit}" if unit else HEADERS[resource]
            columns.append((header, ranking[resource.field], _scaled(scale)))
    columns += [
        (f"PePR-{resource.letter}", ranking[resource.score_key], _decimal)
        for resource in (ENERGY, CARBON, TIME, MEMORY)
        if resource.score_key in ranking.columns
    ]
    columns.append(("Pareto", ranking["pareto"], lambda on_front: "*" if on_front else ""))
    if ranking["quality"].count():
        columns.append(("energy is", ranking["quality"], _plain))

    table = Table(box=box.SIMPLE_HEAD)
    for header, _, _ in columns:
        table.add_column(header, justify="left" if header in ("group", "model", "energy is") else "right", no_wrap=True)
    for row in zip(*(values for _, values, _ in columns), strict=True):
        shown = [show(value) for (_, _, show), value in zip(columns, row, strict=True)]
        table.add_row(*shown, style="bold" if row[0] == 1 else None)
    return table


def recommend(ranking: Runs, chosen_on: Runs, on: str = "validation data") -> str:
    """Say which model to take, and what that saves against the one that performs best.

    Args:
        ranking: The runs whose performance is told.
        chosen_on: The same runs, ranked by the performance by which they are chosen: that on validation data, so that
            the test data stay unseen by the choice.
        on: What that performance is of.

    Returns:
        One sentence.
    """
    known = chosen_on.drop_nulls(["rank", "performance"])
    if known.is_empty():
        return "No run has both a performance and an energy, so there is nothing to recommend."
    pick = _row(ranking, known.sort("rank", maintain_order=True).row(0, named=True))
    best = _row(ranking, known.sort("performance", descending=True, maintain_order=True).row(0, named=True))
    if pick == best:
        dearest = max(ranking.iter_rows(named=True), key=lambda run: run["energy_kwh"] or 0.0)
        less = 1 - pick["energy_kwh"] / dearest["energy_kwh"] if dearest["energy_kwh"] else 0.0
        saved = f", and takes {less:.0%} less energy than the dearest, {dearest['model']}" if pick != dearest else ""
        return f"Take {pick['model']}: by {on} it performs best and has the best PePR-E{saved}."
    kept = f"{pick['performance'] / best['performance']:.1%}" if best["performance"] else "all"
    share = pick["energy_kwh"] / best["energy_kwh"]
    saved = f"saves {1 - share:.0%}" if share <= 1 else f"costs {share - 1:.0%} more"
    return (
        f"Take {pick['model']}, best in PePR-E by {on}: it keeps {kept} of the performance of {best['model']}, the "
        f"best-performing one ({pick['performance']:.3f} against {best['performance']:.3f}), and {saved} of its energy."
    )


def _row(ranking: Runs, run: dict[str, Any]) -> dict[str, Any]:
    """The same run in another table."""
    for row in ranking.iter_rows(named=True):
        if all(row[name] == run[name] for name in ("model", "run_id", "source", "row")):
            return row
    raise ValueError(f"{run['model']} is not in the ranking.")


def _unit(resource: Resource, largest: float) -> tuple[float, str]:
    units = UNITS[resource]
    return next(((scale, unit) for scale, unit in units if largest >= scale), units[-1])


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _decimal(value: object) -> str:
    return "–" if value is None else f"{value:.3f}"


def _scaled(scale: float) -> Callable[[object], str]:
    # Three significant digits, without an exponent.
    def show(value: object) -> str:
        if not isinstance(value, (int, float)):
            return "–"
        amount = value / scale
        return f"{amount:,.0f}" if amount >= 100 else f"{amount:.1f}" if amount >= 10 else f"{amount:.2f}"

    return show

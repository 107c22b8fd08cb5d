"""What figures take: columns of a table, and runs by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lightning_pepr.errors import PePRError
from lightning_pepr.record import RunRecord
from lightning_pepr.record.names import identity_of, label_models

Runs: TypeAlias = "RunRecord | Sequence[RunRecord] | Mapping[str, RunRecord]"


class Table(Protocol):
    """Anything that gives a column by its name: a polars or pandas DataFrame, or a dict of lists."""

    def __getitem__(self, name: str, /) -> Any: ...
    def __contains__(self, name: str, /) -> bool: ...


def columns_of(
    table: Table, names: Sequence[str], optional: Sequence[str] = (), words: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Columns of a table: `names` as floats, NaN where missing, `optional` only if it has them; `words` as they are."""
    needed = [*words, *names]
    if missing := [name for name in needed if name not in table]:
        raise PePRError(
            f"the table has no column {', '.join(map(repr, missing))}; expected {', '.join(map(repr, needed))}, as "
            "`lightning_pepr.rank` gives them."
        )
    found: dict[str, NDArray[Any]] = {name: np.array([str(value) for value in table[name]]) for name in words}
    for name in [*names, *(name for name in optional if name in table)]:
        found[name] = np.array(list(table[name]), dtype=np.float64)
    if len({len(values) for values in found.values()}) > 1:
        raise PePRError("the columns of the table differ in length; expected one row for each model.")
    return found


def categories_of(table: Table, name: str | None) -> list[str] | None:
    """The category of each row, "unknown" where missing; None without a column to colour by."""
    if name is None:
        return None
    if name not in table:
        raise PePRError(f"the table has no column {name!r} to colour by.")
    return ["unknown" if value is None else str(value) for value in table[name]]


def named_runs(runs: Runs | Mapping[str, Any]) -> dict[str, Any]:
    """Runs by their model's label, as a ranking has it; several of one model are numbered."""
    if isinstance(runs, Mapping):
        named = dict(runs)
    else:
        runs = [runs] if isinstance(runs, RunRecord) else list(runs)
        names = [label or run.model for label, run in zip(label_models([*map(identity_of, runs)]), runs, strict=True)]
        many = [f" ({names[: i + 1].count(name)})" if names.count(name) > 1 else "" for i, name in enumerate(names)]
        named = {f"{name}{number}": run for name, number, run in zip(names, many, runs, strict=True)}
    if not named:
        raise PePRError("there is no run to draw; expected at least one record.")
    return named

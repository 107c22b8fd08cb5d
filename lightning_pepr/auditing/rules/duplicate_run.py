"""The rule about runs that are in the table twice."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.chance import JOULES, repeated
from lightning_pepr.runs.table import COSTS, PERFORMANCES


def duplicate_run(runs: pl.DataFrame) -> pl.DataFrame:
    """Find runs of one model that are equal in all that was measured, or have one `run_id`; all but the first."""
    measured = runs.filter(pl.col("_key").is_duplicated())
    measured = measured.filter(pl.any_horizontal(pl.col("_energy", "_time").is_not_null()))
    same = ["_key", *COSTS, *PERFORMANCES]
    text = "its costs and its performance are all, to the last digit, those of {}: it is the same run"
    confidence = "high"
    if not _have_repeats(measured):
        # With few digits two runs may be equal by chance, where a model has several runs.
        same += ["quality", "device", "boards", "_rest"]
        text, confidence = "it is the same as {} in every column, and no other model has two runs", "medium"
        if measured.unique(same)["_key"].is_duplicated().any():
            measured = measured.clear()
    ids = runs.drop_nulls("run_id")
    found = [_copies(measured, same, text, confidence), _copies(ids, ["run_id"], "its run_id is that of {}", "medium")]
    return pl.concat(found).unique("at", keep="first", maintain_order=True)


def _copies(runs: pl.DataFrame, same: list[str], text: str, confidence: str) -> pl.DataFrame:
    first = pl.first("at", "_place").over(same).name.suffix("_first")
    copies = runs.with_columns(first).filter(pl.col("at_first") != pl.col("at"))
    return copies.select("at", evidence=pl.format(text, "_place_first"), confidence=pl.lit(confidence))


def _have_repeats(runs: pl.DataFrame) -> bool:
    """Whether some runs of one model in one group share a time or an energy by more than chance."""
    times = runs.drop_nulls("_time")
    if repeated(times["_time"], times["_key"]).any():
        return True
    energies = runs.drop_nulls("_energy")
    # Energy that was computed from time says nothing that time does not.
    independent = times.is_empty() or _is_varied(energies["_power"])
    return independent and bool(repeated(energies["_energy"], energies["_key"], JOULES).any())


def _is_varied(power: pl.Series) -> bool:
    """Whether power was measured, rather than a constant by which time was multiplied."""
    known = power.drop_nulls()
    return known.round_sig_figs(9).n_unique() > len(known) / 2

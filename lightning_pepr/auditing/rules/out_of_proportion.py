"""The rule about carbon over energy, and about costs of one model's runs."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.cohorts import COHORT, FEW, far, positive
from lightning_pepr.auditing.evidence import tell
from lightning_pepr.cost import ENERGY, TIME

_REPEATS = 5  # runs of one model that make a cohort of their own
_LOWEST, _HIGHEST = 1.0, 3000.0  # g CO2e per kWh; coal has about 1000, times a PUE


def out_of_proportion(runs: pl.DataFrame) -> pl.DataFrame:
    """Find carbon that does not fit energy and time, and costs that do not fit those of the same model's other runs."""
    both = pl.concat([_unlike_energy(runs), _unlike_repeats(runs)])
    # Of two confidences the minimum: "high" is before "medium".
    return both.group_by("at").agg(pl.col("evidence").str.join("; "), pl.col("confidence").min())


def _unlike_energy(runs: pl.DataFrame) -> pl.DataFrame:
    """Find carbon that is far from what the energy makes it, or the time where energy is unknown."""
    intensity, no_grid = pl.col("_intensity"), ~pl.col("_intensity").is_between(_LOWEST, _HIGHEST)
    unlike, middle = far(intensity, ["group"], up=10.0, down=10.0)
    rate = pl.when(pl.col("_energy").is_null()).then(pl.col("_carbon") / pl.col("_time"))
    unlike_rate, middle_rate = far(rate, ["group"], up=30.0, down=30.0)
    runs = runs.with_columns(_usual=middle, _rate=rate, _usual_rate=middle_rate)
    over_energy = "carbon over energy is {~_intensity} g CO2e per kWh"
    checks = [
        (no_grid, f"{over_energy}, where grids have {_LOWEST:g} to {_HIGHEST:g}"),
        (unlike & ~no_grid, f"{over_energy}, where the median{{_where}} is {{~_usual}}"),
        (unlike_rate, "carbon over time is {~_rate} g CO2e per s, where the median{_where} is {~_usual_rate}"),
    ]
    # Of a whole column in another unit nothing is known but that.
    others_fit = middle.is_between(_LOWEST, _HIGHEST) & (intensity.count().over("group") >= FEW)
    return tell(runs, checks, impossible=no_grid & others_fit)


def _unlike_repeats(runs: pl.DataFrame) -> pl.DataFrame:
    """Find runs whose energy or time is far from the same model's other runs, by sample where these are counted."""
    # Of runs that broke off, what it takes to start is most of the cost.
    whole = pl.col("status").is_null() | (pl.col("status") == "finished")
    runs = runs.filter((pl.len().over("_key") >= _REPEATS) & whole)
    samples = positive(pl.col("data_samples"))
    checks: list[tuple[pl.Expr, str]] = []
    amounts: dict[str, pl.Expr] = {}
    for resource, amount in ((ENERGY, pl.col("_energy")), (TIME, pl.col("_time"))):
        for cost, times, unit in (
            (amount / samples, 5.0, f"{resource.unit} per sample"),
            (pl.when(samples.is_null()).then(amount), 20.0, resource.unit),
        ):
            unlike, middle = far(cost, ["_key", *COHORT[1:]], up=times, down=times, least=_REPEATS)
            mine, usual = f"_cost_{len(checks)}", f"_usual_{len(checks)}"
            amounts |= {mine: cost, usual: middle}
            of_model = f"where the median of the model's runs{{_where}} is {{~{usual}}}"
            checks.append((unlike, f"its {resource.name} is {{~{mine}}} {unit}, {of_model}"))
    return tell(runs.with_columns(**amounts), checks, impossible=pl.lit(False))

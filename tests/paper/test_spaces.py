"""The numbers of the paper's settings, held against its published measurements."""

from __future__ import annotations

import polars as pl
import pytest

from lightning_pepr import ModelSpace, audit, load_runs
from lightning_pepr.paper.spaces import MODELS, SETTINGS
from tests.helpers.paths import PAPER

pytestmark = pytest.mark.skipif(not PAPER.is_dir(), reason="the published measurements are not part of the project")

REJECTED = {"derma_small": 78, "derma_smallest": 72, "lidc_small": 70, "pneumonia": 51, "pneumonia_small": 35}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_number_is_that_of_the_table(name: str) -> None:
    """The rejected rows by what they are: a reading that is also in another setting, at a power that cannot be."""
    table = pl.read_csv(PAPER / "results_131x8.csv").with_columns(
        shared=pl.struct("model", "energy", "co2").is_duplicated(),
        watts=pl.col("energy") * 3.6e6 / (pl.col("train_time") * 10),
    )
    assert table.filter("shared")["watts"].is_between(600, 860).sum() == 0  # nothing between normal and rejected
    rejected = pl.col("shared") & (pl.col("watts") > 860)
    rows = table.filter(dataset=name)
    columns = {"energy_kwh": "energy", "carbon_g": "co2", "memory_gb": "memR", "params": "num_param"}
    for clean, kept in ((False, rows), (True, rows.filter(~rejected))):
        expected = {field: (kept[column].min(), kept[column].max()) for field, column in columns.items()}
        assert SETTINGS[name].ranges(clean) == expected
        assert len(kept) == MODELS - clean * REJECTED.get(name, 0)


@pytest.mark.parametrize("name", SETTINGS)
def test_clean_is_what_the_audit_keeps(name: str) -> None:
    runs = load_runs(PAPER / "results_131x8.csv")
    found = audit(runs)
    rejected = found.filter(confidence="high", rule="repeated-reading").select("row").unique()
    kept = runs.filter(group=name).join(rejected, on="row", how="anti")
    space = ModelSpace.from_runs(kept)
    assert {field: space.ranges[field] for field in SETTINGS[name].ranges()} == SETTINGS[name].ranges(clean=True)

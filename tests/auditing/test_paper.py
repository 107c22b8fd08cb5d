"""In the paper's table the audit finds what is known to be there."""

from __future__ import annotations

import polars as pl
import pytest

from lightning_pepr import ModelSpace, audit
from lightning_pepr.auditing import drop_rejected
from lightning_pepr.paper.spaces import SETTINGS
from tests.helpers.paths import PAPER

TABLE = PAPER / "results_131x8.csv"

needs_paper = pytest.mark.skipif(not PAPER.is_dir(), reason="the published measurements are not part of the project")


@pytest.fixture(scope="module")
def findings() -> pl.DataFrame:
    return audit(TABLE, group="dataset")


@needs_paper
class TestPaper:
    def test_rejected_rows_by_space(self, findings: pl.DataFrame) -> None:
        """The rejected rows are those that the published spaces leave out."""
        high = findings.filter(confidence="high")
        assert set(high["rule"]) == {"repeated-reading"}
        assert len(high) == high["row"].n_unique() == 306
        counts = dict(high.group_by("group").len().rows())
        assert counts == {name: setting.rejected for name, setting in SETTINGS.items() if setting.rejected}

    @pytest.mark.parametrize("setting", SETTINGS)
    def test_without_them_the_spaces_are_the_clean_ones(self, setting: str) -> None:
        kept = drop_rejected(TABLE).filter(group=setting)
        clean = ModelSpace.published(setting, clean=True)
        space = ModelSpace.from_runs(kept)
        for resource in ("energy", "carbon", "memory", "parameters"):
            assert space.range(resource) == clean.range(resource)
        assert clean.models == len(kept)

    def test_rejected_rows_by_arithmetic(self, findings: pl.DataFrame) -> None:
        """Distinguished by plain arithmetic, without the audit."""
        table = pl.read_csv(TABLE).with_row_index("row")
        watts = pl.col("energy") * 3.6e6 / (10 * pl.col("train_time"))
        shared = table.filter(pl.struct("energy", "co2").is_duplicated()).with_columns(watts=watts)
        assert len(shared) == 442
        high = findings.filter(confidence="high")["row"]
        assert sorted(shared.filter(pl.col("watts") > 800)["row"]) == sorted(high)
        low = findings.filter(rule="repeated-reading", confidence="low")["row"]
        pairs = shared.filter(pl.col("watts") <= 800).filter(pl.struct("energy", "co2").is_duplicated())
        assert sorted(pairs["row"]) == sorted(low)

    def test_the_ambiguous_pairs(self, findings: pl.DataFrame) -> None:
        low = findings.filter(rule="repeated-reading", confidence="low")
        assert dict(low.group_by("group").len().rows()) == {"derma": 28, "derma_pt": 34, "lidc": 6}
        equal = low.filter(pl.col("evidence").str.contains("their times are equal, too"))
        assert dict(equal.group_by("group").len().rows()) == {"derma_pt": 6, "lidc": 6}

    def test_the_intensity_that_looks_like_a_default(self, findings: pl.DataFrame) -> None:
        fallback = findings.filter(rule="fallback-intensity")
        table = pl.read_csv(TABLE).with_row_index("row").filter((pl.col("co2") / pl.col("energy")).round(6) == 475)
        assert sorted(fallback["row"]) == sorted(table["row"])
        assert len(fallback) == 26
        assert set(fallback["confidence"]) == {"medium"}

    def test_nothing_else_is_found(self, findings: pl.DataFrame) -> None:
        assert len(findings) == 306 + 68 + 26

    def test_it_does_not_hang_on_the_groups_or_on_the_names(self, findings: pl.DataFrame) -> None:
        table = pl.read_csv(TABLE)
        assert audit(TABLE).equals(findings), "the table's own group is the default"
        renamed = table.with_columns(model=pl.format("m{}", pl.int_range(pl.len())))
        high = audit(renamed).filter(confidence="high")
        assert sorted(high["row"]) == sorted(findings.filter(confidence="high")["row"])

    @pytest.mark.parametrize("digits", [8, 6, 5])
    def test_it_does_not_hang_on_the_last_digits(self, findings: pl.DataFrame, digits: int) -> None:
        rounded = pl.read_csv(TABLE).with_columns(pl.col("energy", "co2", "train_time").round_sig_figs(digits))
        high = audit(rounded).filter(confidence="high")
        assert sorted(high["row"]) == sorted(findings.filter(confidence="high")["row"])

    def test_what_is_left_has_no_rejected_row(self) -> None:
        assert audit(drop_rejected(TABLE)).filter(confidence="high").is_empty()

"""The benchmarks run, and their tables have the rows that they should. No figure is judged here."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.helpers.benchmarks import tables

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def peers() -> list[str]:
    """The names of the peers, all of which have to be there."""
    missing = [name for name in ("zeus", "codecarbon", "carbontracker") if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; docs/benchmarks.md says how")
    return ["Zeus", "CodeCarbon, tasks", "carbontracker", "Lightning's DeviceStatsMonitor"]


def test_energy_accuracy_compares_all_tools_in_every_table() -> None:
    others = peers()
    found = tables("energy_accuracy")
    assert [heading.split(",")[0] for heading in found] == [
        "Counter",
        "No counter",
        "No counter",
        "Where the GPU is not simply there",
    ]
    for rows in found.values():
        assert {"lightning-pepr, `read()`", *others} <= rows.keys()
    for heading, rows in found.items():
        if heading.startswith("Counter"):
            assert rows["lightning-pepr, `read()`"][3].endswith("of 2")
            assert rows["Zeus"][3] == "states none"
            assert rows["Lightning's DeviceStatsMonitor"][0].startswith("no energy")


def test_overhead_compares_all_callbacks() -> None:
    others = peers()
    found = tables("overhead")
    assert {"lightning-pepr, `PePRCallback`", *others} <= found["Callbacks"].keys()
    assert len(found["The meter between boundaries"]) == 1 + 1 + 3


def test_long_runs_tell_the_first_epochs_from_the_last() -> None:
    times, files = tables("long_runs").values()
    assert list(times)[2:] == ["3 to 100", "10 to 109"]
    assert all(len(row) == 5 for row in times.values())
    assert files["lightning-pepr, `PePRCallback`"][2].startswith("pepr.json ")


def test_rank_compares_with_a_loop_that_agrees() -> None:
    (rows,) = tables("rank").values()
    assert list(rows)[2:] == ["lightning-pepr", "pandas, group by group"]


def test_audit_finds_nothing_where_nothing_is_wrong() -> None:
    found, times = tables("audit").values()
    assert found["nothing"] == ["0.0%", "0.0%", "0.0%"]
    assert found["performance in percent"] == ["100.0%", "100.0%", "0.0%"]
    assert list(times) == ["runs", "---", "20,000"]


def test_report_opens_pages_of_several_sizes() -> None:
    from tests.helpers.browser import WITHOUT, find

    if find() is None:
        pytest.skip(WITHOUT)
    (rows,) = tables("report").values()
    assert [name for name in rows if name not in ("runs", "---")] == ["1", "100"]
    assert rows["1"][3] == rows["1"][5] == "1.0"
    assert all(row[0].endswith(" MB") for name, row in rows.items() if name[0].isdigit())

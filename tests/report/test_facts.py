"""What runs are coloured by, and where they come from."""

from __future__ import annotations

import json

import polars as pl

from lightning_pepr.report.data import collect
from tests.helpers.records import make_run


def test_runs_are_coloured_by_the_type_of_their_model_and_by_what_decided_them() -> None:
    runs = [make_run("resnet18d", 1e6), make_run("pvt_v2_b0", 4e6), make_run("my_own", 2e6)]
    for index, run in enumerate(runs):
        run.settings = {"seed": index % 2, "lr": 0.1, "augment": ["flip"]}
    facets = {facet["name"]: facet for facet in collect(runs)["facets"]}
    kinds = facets["type"]
    assert [kinds["categories"][of] if of is not None else None for of in kinds["of"]] == ["CNN", "Other", None]
    assert facets["seed"]["of"] == [0, 1, 0]
    assert "lr" not in facets, "all have the same"
    assert "augment" not in facets
    table = pl.DataFrame({"model": ["a", "b"], "type": ["x", "y"], "performance": [0.5, 0.6], "time_s": [1.0, 2.0]})
    assert collect(table)["facets"][0] == {"name": "type", "categories": ["x", "y"], "of": [0, 1]}


def test_what_is_not_finite_or_no_mapping_in_what_a_record_says_of_itself_is_left_out() -> None:
    runs = [make_run("a", 1e6), make_run("b", 4e6), make_run("c", 2e6)]
    runs[0].hardware = {"host": "node", "clock": float("nan"), "more": [{"a": float("inf")}, 2.0]}
    runs[0].software = ["torch"]  # type: ignore[assignment]
    runs[0].settings = ["seed"]  # type: ignore[assignment]
    runs[1].settings = {"seed": 1, "lr": float("nan")}
    runs[2].settings = {"seed": 2, "lr": 0.1}
    runs[2].devices["cpu:node"].error_j = float("nan")
    data = collect(runs)
    json.dumps(data, allow_nan=False)
    assert [1, {"host": "node", "clock": None, "more": [{"a": None}, 2.0]}] in data["provenance"]["hardware"]
    assert [1, {}] in data["provenance"]["software"]
    facets = {facet["name"]: facet["of"] for facet in data["facets"]}
    assert facets["seed"] == [None, 0, 1]
    assert "lr" not in facets, "one value, and one that is not known"


def test_a_label_hides_no_type() -> None:
    runs = [make_run("resnet18d", 1e6), make_run("resnet18d", 2e6, seed=1), make_run("pvt_v2_b0", 4e6)]
    data = collect(runs)
    assert data["runs"]["model"][:2] == ["resnet18d (1 M parameters)", "resnet18d (2 M parameters)"]
    kinds = next(facet for facet in data["facets"] if facet["name"] == "type")
    assert [kinds["categories"][of] for of in kinds["of"]] == ["CNN", "CNN", "Other"]

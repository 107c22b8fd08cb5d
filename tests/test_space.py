"""Model spaces: ranges, where they come from, and that they survive a file."""

from __future__ import annotations

import json
import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr import Cost, ModelSpace, normalize
from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.paper.spaces import MODELS, SETTINGS

pairs = st.tuples(st.floats(0.0, 1e6), st.floats(0.0, 1e6)).map(lambda pair: (min(pair), max(pair)))
spaces = st.builds(
    ModelSpace,
    st.dictionaries(st.sampled_from([r.field for r in RESOURCES]), pairs, min_size=1),
    source=st.text(max_size=10),
    models=st.none() | st.integers(1, 1000),
    device=st.text(max_size=10),
    note=st.text(max_size=10),
)


def test_resources_go_by_any_name_and_come_in_order() -> None:
    space = ModelSpace({"T": (1, 2), "energy": (3, 4), "memory_gb": (5, 6)})
    assert list(space.ranges) == ["energy_kwh", "time_s", "memory_gb"]
    assert [resource.letter for resource in space] == ["E", "T", "M"]
    assert "energy" in space
    assert Resource.of("C") not in space
    assert 7 not in space
    assert space.range("E") == (3.0, 4.0)


def test_it_normalises_as_the_function_does() -> None:
    space = ModelSpace({"energy_kwh": (0.01, 0.25)})
    assert space.normalize(0.1, "energy") == normalize(0.1, 0.01, 0.25)
    np.testing.assert_array_equal(space.normalize(np.array([0.0, 0.25]), "E"), [0.0, 1.0])


def test_it_takes_its_own_resource_out_of_a_cost() -> None:
    space = ModelSpace.budget(energy_kwh=1.0, time_s=1.0)
    assert space.amount(Cost(energy_kwh=0.5, time_s=2.0), "time") == 2.0
    assert space.amount(0.25, "time") == 0.25
    with pytest.raises(ValueError, match=r"the cost has no energy_kwh \(not measured\); it has time_s"):
        space.amount(Cost(time_s=2.0), "energy")
    with pytest.raises(ValueError, match=r"the cost has no energy_kwh \(not measured\); it has nothing"):
        space.amount(Cost(), "energy")


def test_a_budget_starts_at_0() -> None:
    space = ModelSpace.budget(energy_kwh=0.5, T=3600, memory=np.float32(2.0))  # type: ignore[arg-type]
    assert space.ranges == {"energy_kwh": (0.0, 0.5), "time_s": (0.0, 3600.0), "memory_gb": (0.0, 2.0)}
    assert space.source == "budget"


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, "0.5"])
def test_a_bad_budget_is_named(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"the budget of energy_kwh is .*; expected a finite number larger than 0"):
        ModelSpace.budget(energy_kwh=bad)


def test_bad_ranges_are_named() -> None:
    with pytest.raises(ValueError, match=r"budget\(\) got no budget; expected at least one"):
        ModelSpace.budget()
    with pytest.raises(ValueError, match=r"unknown resource 'joules'"):
        ModelSpace.budget(joules=1.0)
    with pytest.raises(ValueError, match=r"ranges is \{\}; expected a low and a high"):
        ModelSpace({})
    with pytest.raises(ValueError, match=r"the range of energy: low \(2\.0\) is larger than high \(1\.0\)"):
        ModelSpace({"energy": (2.0, 1.0)})
    with pytest.raises(ValueError, match=r"the range of energy is 0\.5; expected a pair \(low, high\)"):
        ModelSpace({"energy": 0.5})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"the range of energy: .*'much'"):
        ModelSpace({"energy": (0.0, "much")})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"energy_kwh is given twice \(the second time as 'E'\)"):
        ModelSpace({"energy": (0.0, 1.0), "E": (0.0, 2.0)})


def test_a_resource_that_it_has_not_is_named() -> None:
    space = ModelSpace.budget(energy_kwh=0.5, time_s=10)
    with pytest.raises(
        ValueError,
        match=r"no memory \(memory_gb\); it has energy_kwh, time_s\. .*ModelSpace\.budget\(memory_gb=…\)",
    ):
        space.range("M")


@given(spaces)
def test_it_survives_dicts_json_and_pickles(space: ModelSpace) -> None:
    assert ModelSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space
    copied = pickle.loads(pickle.dumps(space))
    assert copied == space
    assert hash(copied) == hash(space)


def test_it_survives_a_file(tmp_path: Path) -> None:
    space = ModelSpace({"energy_kwh": (0.1, 0.7)}, source="räume", models=3)
    space.save(tmp_path / "space.json")
    assert ModelSpace.load(tmp_path / "space.json") == space


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "it is no JSON"),
        ("[]", "schema is None"),
        ("{}", "schema is None"),
        (
            '{"schema": "lightning-pepr/space/99"}',
            r"schema is 'lightning-pepr/space/99'; .*newer lightning-pepr",
        ),
        ('{"schema": "lightning-pepr/space/1", "ranges": {"energy_kwh": [2, 1]}}', "larger than high"),
        ('{"schema": "lightning-pepr/space/1"}', r"ranges is \{\}"),
    ],
)
def test_a_file_that_holds_none_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "space.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"space\.json does not hold a model space: .*{message}"):
        ModelSpace.load(path)


def test_what_is_not_said_is_not_in_the_file() -> None:
    plain = ModelSpace({"energy_kwh": (0.1, 0.7)}).to_dict()
    assert list(plain) == ["schema", "ranges", "source", "models"]
    read = ModelSpace.from_dict({**plain, "device": "A100", "note": "on a Sunday"})
    assert (read.device, read.note) == ("A100", "on a Sunday")
    assert read != ModelSpace.from_dict(plain)


REJECTED = {"derma_small": 78, "derma_smallest": 72, "lidc_small": 70, "pneumonia": 51, "pneumonia_small": 35}


class TestPublished:
    @pytest.mark.parametrize("name", SETTINGS)
    def test_it_says_where_it_comes_from_and_what_is_wrong_with_it(self, name: str) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            space = ModelSpace.published(name)
        assert list(space.ranges) == ["energy_kwh", "carbon_g", "memory_gb", "params"]  # not the time: see `note`
        assert space.models == MODELS == 131
        for text in ("arXiv.2403.12562", "saintslab/PePR", name):
            assert text in space.source
        assert "PUE" in space.device
        assert "train_time" in space.note
        assert len(caught) == (name in REJECTED)
        for warning in caught:
            assert f"{REJECTED[name]} of the 131 models" in str(warning.message)
            assert f"ModelSpace.published('{name}', clean=True)" in str(warning.message)
            assert warning.filename == __file__
            assert str(warning.message).partition(" They ")[0] in space.note

    @pytest.mark.parametrize("name", SETTINGS)
    def test_clean_leaves_rows_out_without_a_word(self, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            clean = ModelSpace.published(name, clean=True)
            assert clean == ModelSpace.of(f"{name}:clean")
        assert clean.models == MODELS - REJECTED.get(name, 0)
        if name not in REJECTED:
            assert clean == ModelSpace.published(name)

    def test_derma_small_falls_by_a_factor_of_eight(self) -> None:
        with pytest.warns(UserWarning, match=r"high of energy_kwh \(0\.254, without them 0\.0301\) and carbon_g"):
            assert ModelSpace.published("derma_small").range("E")[1] == pytest.approx(0.254, abs=5e-4)
        assert ModelSpace.published("derma_small", clean=True).range("E")[1] == pytest.approx(0.030, abs=5e-4)

    def test_names_that_are_none(self) -> None:
        with pytest.raises(ValueError, match=r"no published space 'dermis'; expected one of derma, derma_pt, derma_s"):
            ModelSpace.published("dermis")
        with pytest.raises(FileNotFoundError, match=r"no file 'dermis' .*no published space .* derma, derma_pt.*clean"):
            ModelSpace.of("dermis")
        with pytest.raises(FileNotFoundError, match="no file 'derma:dirty'"):
            ModelSpace.of("derma:dirty")

    def test_files_come_before_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        mine = ModelSpace.budget(energy_kwh=1.0)
        assert ModelSpace.of("derma") == ModelSpace.published("derma")
        Path("derma").mkdir()  # such as the data set's
        assert ModelSpace.of("derma") == ModelSpace.published("derma")
        Path("derma").rmdir()
        mine.save("derma")
        assert ModelSpace.of("derma") == ModelSpace.of(Path("derma")) == ModelSpace.of(mine) == mine


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ModelSpace.load(tmp_path / "none.json")

"""Runs have one label if, and only if, they are of one model, whatever order they come in."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.record import CostEntry, RunRecord
from lightning_pepr.record.names import Identity, configuration_of, identity_of, label_models

values = st.sampled_from([0.1, 0.01, 1, 1.0, True, None, "a", "a, b=1", "x" * 40, "x" * 41, [1, 2], {"deep": 1}])
options = st.dictionaries(
    st.sampled_from(["lr", "optimizer.lr", "optimizer", "b", "seed", "log_dir"]), values, max_size=3
)
records = st.builds(
    RunRecord,
    st.sampled_from(["Net", "Net (lr=0.1)", "Net (1 k parameters)", "UNet"]),
    params=st.sampled_from([None, 3, 1000, 1001, 4_800_000]),
    group=st.sampled_from(["", "derma"]),
    named=st.booleans(),
    settings=options,
    hyperparameters=options,
)
runs = st.lists(records, min_size=2, max_size=9)


def labels_of(records: list[RunRecord]) -> list[str | None]:
    return label_models([identity_of(record) for record in records])


def plain(value: Any) -> Any:
    """A value whose type counts as it does in JSON, where 1.0 is 1 and True is not."""
    return (type(value) is bool, repr(value) if isinstance(value, (list, dict)) else value)


def facts(found: dict[str, Any]) -> dict[str, Any]:
    """Settings without those in which repeats differ; one within another by its path."""
    flat = {f"{name}.deep" if value == {"deep": 1} else name: value for name, value in found.items()}
    return {
        name: plain(1 if value == {"deep": 1} else value)
        for name, value in flat.items()
        if name not in ("seed", "seed.deep", "log_dir", "log_dir.deep")
    }


def told_apart(a: RunRecord, b: RunRecord) -> bool:
    """Whether what is known of two runs of one name differs."""
    if a.params is not None and b.params is not None and a.params != b.params:
        return True
    if facts(a.settings) != facts(b.settings):
        return True
    mine, other = ({} if run.named else facts(run.hyperparameters) for run in (a, b))
    return bool(mine and other and mine != other)


def whole(run: RunRecord) -> bool:
    """Whether all is known of it that tells runs apart."""
    return run.params is not None and not run.named and bool(facts(run.hyperparameters))


@given(runs)
def test_repeats_have_one_label_and_models_have_their_own(found: list[RunRecord]) -> None:
    labels = labels_of(found)
    for (a, mine), (b, other) in combinations(zip(found, labels, strict=True), 2):
        if a.group != b.group:
            continue
        if a.model != b.model or told_apart(a, b):
            assert mine != other
        elif whole(a) and whole(b):
            assert mine == other


@given(runs, st.randoms(use_true_random=False))
def test_the_order_of_the_runs_does_not_matter(found: list[RunRecord], random: Any) -> None:
    order = list(range(len(found)))
    random.shuffle(order)
    assert labels_of([found[at] for at in order]) == [labels_of(found)[at] for at in order]


@given(runs)
def test_what_was_labelled_stays_as_it_is(found: list[RunRecord]) -> None:
    identities = [identity_of(record) for record in found]
    once = label_models(identities)
    again = [each._replace(model=label) for each, label in zip(identities, once, strict=True)]
    assert label_models(again) == once


@given(runs, st.integers(), st.text())
def test_seeds_and_places_tell_nothing(found: list[RunRecord], seed: int, place: str) -> None:
    before = labels_of(found)
    for index, record in enumerate(found):
        record.settings = {**record.settings, "random_state": seed + index, "trainer": {"default_root_dir": place}}
        record.hyperparameters |= {"data_seed": index, "run_id": str(index)}
    assert labels_of(found) == before


def net(params: int | None = 3, **rest: Any) -> RunRecord:
    return RunRecord("Net", params=params, **rest)


class TestLabels:
    def test_only_what_differs_is_shown(self) -> None:
        found = [
            net(4_800_000, hyperparameters={"lr": 0.1, "depth": 4}),
            net(4_800_000, hyperparameters={"lr": 0.01, "depth": 4}),
            net(163_000_000, hyperparameters={"lr": 0.1, "depth": 4}),
        ]
        assert labels_of(found) == [
            "Net (lr=0.1, 4.8 M parameters)",
            "Net (lr=0.01, 4.8 M parameters)",
            "Net (lr=0.1, 163 M parameters)",
        ]
        assert labels_of(found[:2]) == ["Net (lr=0.1)", "Net (lr=0.01)"]
        assert labels_of([found[0], found[2]]) == ["Net (4.8 M parameters)", "Net (163 M parameters)"]
        assert labels_of(found[:1]) == ["Net"]

    def test_each_group_is_by_itself(self) -> None:
        assert labels_of([net(3, group="a"), net(4, group="b"), net(5, group="b")]) == [
            "Net",
            "Net (4 parameters)",
            "Net (5 parameters)",
        ]

    def test_a_name_stands_for_the_hyperparameters_and_not_for_settings_or_parameters(self) -> None:
        found = [net(named=True, hyperparameters={"lr": lr}) for lr in (0.1, 0.01)]
        assert labels_of(found) == ["Net", "Net"]
        found = [net(size, named=True, settings={"aug": aug}) for size, aug in ((3, 1), (3, 2), (4, 2))]
        assert labels_of(found) == [f"Net ({about} parameters)" for about in ("aug=1, 3", "aug=2, 3", "aug=2, 4")]

    def test_a_setting_that_others_lack(self) -> None:
        assert labels_of([net(settings={"aug": "heavy"}), net()]) == ["Net (aug=heavy)", "Net (no aug)"]

    def test_the_same_number_to_three_digits_is_written_in_full(self) -> None:
        assert labels_of([net(4_801_001), net(4_801_002)]) == [f"Net (4,801,00{i} parameters)" for i in (1, 2)]

    def test_a_path_is_as_short_as_it_can_be(self) -> None:
        found = [net(hyperparameters={"adam": {"lr": lr}, "sgd": {"lr": lr * 2, "p": 1 - lr}}) for lr in (0.25, 0.5)]
        assert labels_of(found) == [
            f"Net (adam.lr={a}, sgd.lr={b}, p={p})" for a, b, p in ((0.25, 0.5, 0.75), (0.5, 1, 0.5))
        ]

    def test_of_many_differences_those_are_shown_that_tell_most(self) -> None:
        found = [net(3 + i, hyperparameters={name: i // (j + 1) for j, name in enumerate("abcdef")}) for i in range(8)]
        assert labels_of(found) == [f"Net ({3 + i} parameters)" for i in range(8)]
        for record in found:
            record.params = 3
        assert labels_of(found) == [f"Net (a={i})" for i in range(8)]

    def test_two_labels_that_would_be_the_same_are_told_apart(self) -> None:
        given_name = RunRecord("Net (lr=0.1)", params=3, named=True)
        found = labels_of([given_name, *(net(hyperparameters={"lr": lr}) for lr in (0.1, 0.01))])
        assert found[0] == "Net (lr=0.1)", "what somebody called it stays"
        assert str(found[1]).startswith("Net (lr=0.1) #")
        long = labels_of([net(hyperparameters={"layers": list(range(20, 60 + i))}) for i in (0, 1)])
        assert len(set(long)) == 2
        assert max(len(str(label)) for label in long) < 64


class TestWhatIsNotKnown:
    def test_it_is_the_only_model_that_it_can_be(self) -> None:
        """As of an older version's records: nothing says that they are another model."""
        assert labels_of([net(hyperparameters={"lr": 0.1}), net(), net(None)]) == ["Net"] * 3

    def test_of_several_it_is_none(self) -> None:
        found = [net(hyperparameters={"lr": 0.1}), net(hyperparameters={"lr": 0.2}), net()]
        assert labels_of(found) == ["Net (lr=0.1)", "Net (lr=0.2)", "Net"]
        assert labels_of([net(3), net(4), net(None)]) == [
            "Net (3 parameters)",
            "Net (4 parameters)",
            "Net (parameters unknown)",
        ]

    def test_a_run_without_a_name_has_no_label(self) -> None:
        assert label_models([Identity(None, None, 1.0, None), Identity(None, None, 2.0, None)]) == [None, None]

    def test_a_tables_own_words_tell_apart(self) -> None:
        assert label_models([Identity(None, "a", None, text) for text in ("x", "x", "[1]", None)]) == [
            "a (configuration=x)",
            "a (configuration=x)",
            "a (configuration=[1])",
            "a (no configuration)",
        ]


REPEATS = "seed data_seed randomState random_state rng log_dir logdir default_root_dir output_path save_dir run_id"


@pytest.mark.parametrize("name", [*REPEATS.split(), "checkpoint_dir"])
def test_what_only_repeats_differ_in(name: str) -> None:
    assert configuration_of(net(settings={name: 1}, hyperparameters={"a": {name: "x"}})) is None


@pytest.mark.parametrize("name", ["data_dir", "root", "ckpt_path", "weights", "train_root_dir", "out_channels", "path"])
def test_what_decides_what_a_run_does(name: str) -> None:
    assert configuration_of(net(settings={name: 1})) == f'{{"settings": {{"{name}": 1}}}}'


def test_parameters_are_those_that_were_counted() -> None:
    assert identity_of(net(3, costs={"params": CostEntry(7.0)})) == Identity(None, "Net", 7.0, None)
    assert identity_of(net(3, costs={"params": CostEntry()}, group="x")) == Identity("x", "Net", 3, None)

"""The paper's architectures, held against timm and against the paper's own table."""

from __future__ import annotations

import csv
import warnings
from typing import Any

import pytest

from lightning_pepr.paper.architectures import architectures, timm_name
from tests.helpers.paths import PAPER

TABLE = PAPER / "architectures_131.csv"


def test_there_are_131_of_80_cnns_and_31_efficient_ones() -> None:
    known = architectures().values()
    assert len(known) == 131
    assert sum(each.kind == "CNN" for each in known) == 80
    assert sum(each.efficient for each in known) == 31
    assert [each.params for each in known] == sorted(each.params for each in known)


@pytest.mark.skipif(not TABLE.is_file(), reason="the paper's table is not here")
def test_the_facts_are_those_of_the_paper() -> None:
    with TABLE.open(encoding="utf-8") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(architectures())
    for name, each in architectures().items():
        row = rows[name]
        assert (each.params, each.kind, each.efficient) == (int(row["num_param"]), row["type"], row["efficient"] == "1")


@pytest.mark.slow
def test_timm_has_each_with_as_many_parameters_and_it_takes_the_sizes_that_are_stated() -> None:
    timm, torch = pytest.importorskip("timm"), pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    wrong = []
    for each in architectures().values():
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # none of today's names is deprecated
            model = timm.create_model(each.timm).eval()

        def takes(size: int, model: Any = model) -> bool:
            try:
                return bool(model(torch.zeros(2, 3, size, size, device="meta")).shape == (2, 1000))
            except (AssertionError, RuntimeError, ValueError):
                return False

        params = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        counter = FlopCounterMode(display=False)
        with counter:
            accepted = takes(each.image_size)
        mmacs = counter.get_total_flops() / 4 / 1e6
        smaller = each.image_size > 32 and takes(each.image_size - 32)
        larger = each.image_size + 32
        other = each.accepts(larger) is True and not takes(larger)
        if params != each.params or not accepted or smaller or other or abs(mmacs / each.mmacs - 1) > 0.01:
            wrong.append((each, params, accepted, smaller, other, mmacs))
    assert not wrong


def test_sizes_that_were_not_tried_are_not_vouched_for() -> None:
    halonet, dla = architectures()["halonet26t"], architectures()["dla34"]
    assert [dla.accepts(size) for size in (16, 32, 224, 225, 512)] == [None, True, True, None, None]
    assert [halonet.accepts(size) for size in (32, 224, 256)] == [False, False, True]
    assert dla.mmacs_at(64) == pytest.approx(4 * dla.mmacs)


def test_names_of_today() -> None:
    assert timm_name("gluon_xception65") == "xception65"
    assert timm_name("adv_inception_v3") == "inception_v3.tf_adv_in1k"
    assert timm_name("resnet50") == "resnet50"

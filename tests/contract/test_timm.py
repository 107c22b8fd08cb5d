"""What is stated about the paper's architectures in timm: their names, their sizes, and the images that they take."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'lightning-pepr[study]'")

DEPRECATED = {
    "adv_inception_v3": "inception_v3.tf_adv_in1k",
    "gluon_inception_v3": "inception_v3.gluon_in1k",
    "gluon_resnet34_v1b": "resnet34.gluon_in1k",
    "gluon_resnet152_v1b": "resnet152.gluon_in1k",
    "gluon_resnext101_32x4d": "resnext101_32x4d.gluon_in1k",
    "gluon_seresnext50_32x4d": "seresnext50_32x4d.gluon_in1k",
    "gluon_seresnext101_32x4d": "seresnext101_32x4d.gluon_in1k",
}

# The published counts of trainable parameters: the two smallest, the largest, the aliases, and some between.
PARAMETERS = {
    "adv_inception_v3": 23_834_568,
    "dla46_c": 1_301_400,
    "dla46x_c": 1_068_440,
    "gluon_inception_v3": 23_834_568,
    "gluon_resnet34_v1b": 21_797_672,
    "gluon_resnet152_v1b": 60_192_808,
    "gluon_resnext101_32x4d": 44_177_704,
    "gluon_seresnext50_32x4d": 27_559_896,
    "gluon_seresnext101_32x4d": 48_955_416,
    "halonet50ts": 22_733_280,
    "mobilenetv2_050": 1_968_680,
    "mobilevitv2_050": 1_370_593,
    "vgg13": 133_047_848,
}

TOO_SMALL_AT_224 = (
    "bat_resnext26ts",
    "botnet26t_256",
    "eca_botnext26ts_256",
    "halo2botnet50ts_256",
    "halonet26t",
    "halonet50ts",
    "lambda_resnet26rpt_256",
    "lamhalobotnet50ts_256",
    "maxvit_nano_rw_256",
    "maxxvit_rmlp_nano_rw_256",
    "sebotnet33ts_256",
    "sehalonet33ts",
    "swinv2_base_window8_256",
)


def shape_of(name: str) -> torch.nn.Module:
    """The model, without memory for its weights."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: torch.nn.Module = timm.create_model(name).eval()
        return model


def test_gluon_xception65_is_gone_and_xception65_is_there() -> None:
    assert not timm.is_model("gluon_xception65")
    assert timm.is_model("xception65")


@pytest.mark.parametrize(("alias", "name"), DEPRECATED.items())
def test_a_deprecated_alias_still_gives_its_model(alias: str, name: str) -> None:
    """And it is not listed."""
    config: Any = shape_of(alias).pretrained_cfg
    assert f"{config['architecture']}.{config['tag']}" == name
    assert timm.is_model(alias)
    assert alias not in timm.list_models()


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_the_parameters_are_those_of_the_paper(name: str, count: int) -> None:
    """With 1000 classes and 3 channels."""
    assert sum(p.numel() for p in shape_of(name).parameters() if p.requires_grad) == count


@pytest.mark.parametrize("name", TOO_SMALL_AT_224)
def test_a_model_that_fails_at_224_pixels_takes_256(name: str) -> None:
    model = shape_of(name)
    with pytest.raises((AssertionError, RuntimeError)):
        model(torch.zeros(1, 3, 224, 224, device="meta"))
    assert model(torch.zeros(1, 3, 256, 256, device="meta")).shape == (1, 1000)

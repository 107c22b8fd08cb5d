"""What a record says of the user's module."""

from __future__ import annotations

from pathlib import Path

import torch

from lightning_pepr.callbacks._model import trainable_parameters
from tests.helpers.fits import fit, record_of
from tests.helpers.training import Worker


def test_a_model_is_called_by_its_name_its_hyperparameter_or_its_class(tmp_path: Path) -> None:
    class Named(Worker):
        model_name = "resnet18"

    class WithHparams(Worker):
        def __init__(self, arch: str) -> None:
            super().__init__()
            self.save_hyperparameters()

    names = [record_of(fit(m, tmp_path, max_epochs=1)).model for m in (Named(), WithHparams("vgg11"), Worker())]
    assert names == ["resnet18", "vgg11", "Worker"]


def test_lazy_parameters_are_none_never_0(tmp_path: Path) -> None:
    class Lazy(Worker):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.LazyLinear(1)

    assert trainable_parameters(Lazy()) is None
    assert trainable_parameters(Worker()) == 3

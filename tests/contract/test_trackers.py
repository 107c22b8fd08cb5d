"""What loggers and Lightning's logging of hyperparameters keep private."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.utilities.logger import _convert_params, _flatten_dict, _sanitize_params
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from tests.helpers.contract import ListLogger, MakeTrainer, Tiny

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and loggers


class Kept(ListLogger):
    """Keeps the hyperparameters, too."""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.params = dict(params)


class Tuned(Tiny):
    def __init__(self, lr: float = 0.5, logged: bool = True) -> None:
        super().__init__()
        self.save_hyperparameters("lr", logger=logged)


@pytest.mark.parametrize("logged", [True, False])
def test_lightning_logs_the_initial_hyperparameters_where_the_module_lets_it(
    trainer_with: MakeTrainer, logged: bool
) -> None:
    model, logger = Tuned(logged=logged), Kept()
    model.hparams["lr"] = 0.25
    trainer_with(logger=logger).fit(model)
    assert model._log_hyperparams is logged
    assert dict(model.hparams_initial) == {"lr": 0.5}
    assert getattr(logger, "params", None) == ({"lr": 0.5} if logged else None)


def test_a_module_without_hyperparameters_has_none_to_log() -> None:
    assert not Tiny()._log_hyperparams
    assert not Tiny().hparams_initial


def test_lightning_leaves_the_class_of_a_command_line_out(trainer_with: MakeTrainer) -> None:
    logger, model = Kept(), Tuned()
    model._set_hparams({"lr": 0.5, "_class_path": "some.Module"})
    model._hparams_initial = model.hparams  # type: ignore[assignment]
    trainer_with(logger=logger).fit(model)
    assert logger.params == {"lr": 0.5}


def test_a_prefix_is_joined_to_the_name(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, prefix="a")
    logger.log_metrics({"x": 1.0}, step=0)
    assert next(iter(logger.experiment.metrics[0])) == f"{logger._prefix}{logger.LOGGER_JOIN_CHAR}x" == "a-x"


@pytest.mark.parametrize("options", [{}, {"sync_tensorboard": True}])
def test_wandb_keeps_what_it_will_begin_with(tmp_path: Path, options: dict[str, Any]) -> None:
    pytest.importorskip("wandb")
    assert WandbLogger(save_dir=tmp_path, offline=True, **options)._wandb_init.get("sync_tensorboard") == (
        options.get("sync_tensorboard")
    )


@pytest.mark.parametrize("placeholder", [True, False])
def test_tensorboard_lists_a_placeholder(tmp_path: Path, placeholder: bool) -> None:
    assert TensorBoardLogger(tmp_path, default_hp_metric=placeholder)._default_hp_metric is placeholder


def test_summaries_go_through_the_file_writer(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    written: list[Any] = []
    writer = logger.experiment._get_file_writer()
    writer.add_summary = lambda summary, *args: written.append(summary)
    logger.experiment.add_scalar("x", 1.0, 0)
    assert [value.tag for summary in written for value in summary.value] == ["x"]
    logger.experiment.close()


def test_how_hyperparameters_become_a_flat_table() -> None:
    params = Namespace(model={"width": 4, "layers": [1, 2]}, lr=0.5, path=Path("a"))
    assert _sanitize_params(_flatten_dict(_convert_params(params))) == {
        "model/width": 4,
        "model/layers": "[1, 2]",
        "lr": 0.5,
        "path": "a",
    }

"""The process of one run, and the one that looks models and data up: what imports torch, so that the driver need not.

It is started as `python -m lightning_pepr.study.worker`, reads what to do as a line of JSON from its standard input,
and tells how it goes in lines of JSON on its standard output. What libraries print goes to standard error. It ends
when its standard input does, which is when the driver is gone, however that came about.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning_pepr.paper.architectures import architectures, timm_name
from lightning_pepr.study.models import WILDCARDS, match_names
from lightning_pepr.study.settings import MEDMNIST, DataSize, Model, Run, Settings

Tell = Callable[..., None]

LARGEST = 1024
"""The largest side of an image that is tried, in pixels."""


def main() -> int:
    """Do what standard input says; returns the exit status: 0, 1 if it failed, 2 if the input was wrong."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print must not get among the messages

    def tell(event: str, **values: Any) -> None:
        out.write(json.dumps({"event": event, **values}) + "\n")

    signal.signal(signal.SIGINT, signal.default_int_handler)  # started in the background, it would be ignored,
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # and under Ray, blocked
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    try:
        if task["task"] == "survey":
            _survey(task, tell)
        else:
            _train(task, tell)
    except KeyboardInterrupt:
        tell("interrupted")
        return 130
    except (ValueError, OSError, ModuleNotFoundError) as error:
        tell("error", kind=type(error).__name__, text=str(error), input=task["task"] == "survey")
        if task["task"] != "survey":
            raise  # so that the log has it
        return 2
    except BaseException as error:
        tell("error", kind=type(error).__name__, text=str(error), input=False)
        raise
    return 0


def _end_with_the_driver() -> None:
    # Not sys.stdin, whose lock a thread that waits would hold while the interpreter ends.
    while os.read(0, 4096):
        pass
    os._exit(3)


# One run -----------------------------------------------------------------------------------------------------------


def _train(task: dict[str, Any], tell: Tell) -> None:
    """Train one run; `out` and `run` say which and where to."""
    from lightning_pepr.space import ModelSpace
    from lightning_pepr.study.data.modules import make_data
    from lightning_pepr.study.training import Progress, train_model

    run = run_of(task["run"], task["apart"])
    _timm()
    tell("ready")  # all that takes long is imported
    settings = run.settings
    data = make_data(
        settings.data,
        run.model.image_size,
        settings.batch_size,
        num_workers=settings.num_workers,
        fraction=run.fraction,
        train_samples=settings.train_samples,
        eval_samples=settings.eval_samples,
        subset_seed=run.seed,
    )
    data.prepare_data()
    data.setup("fit")

    def on_progress(progress: Progress) -> None:
        tell("progress", share=progress.share, epoch=progress.epoch, epochs=progress.epochs)

    train_model(
        run.model.name,
        data,
        Path(task["out"]),
        epochs=settings.epochs,
        num_classes=data.num_classes,
        lr=settings.lr,
        seed=run.seed,
        space=None if settings.space is None else ModelSpace.of(settings.space),
        carbon_intensity=settings.carbon_intensity,
        accelerator=settings.accelerator,
        on_progress=on_progress,
        monitor=settings.monitor,
        optimizer=settings.optimizer,
        weight_decay=settings.weight_decay,
        pretrained=run.pretrained,
        weights=run.weights,
        precision=settings.precision,
        folder=run.folder,
        group=run.group,
        settings=run.to_dict(),
    )
    tell("finished")


def run_of(plain: dict[str, Any], apart: str = "") -> Run:
    """The run of `Run.to_dict`; parameters and multiply-accumulates of its model, which are no part of it, are 0."""
    return Run(
        **{
            **plain,
            "apart": apart,
            "settings": Settings(**plain["settings"]),
            "model": Model(**{"params": 0, **plain["model"]}),
        }
    )


# Models and data ---------------------------------------------------------------------------------------------------


def _survey(task: dict[str, Any], tell: Tell) -> None:
    """Find models and data, and refuse what cannot be trained."""
    settings = Settings(**task["settings"])
    # MedMNIST has a file for each of some sizes; which are needed is then known when the models are.
    later = settings.image_size is None and settings.data.startswith(MEDMNIST)
    size = None if later else survey_data(settings)
    models = survey_models(task["models"], settings.image_size, tell)
    size = size or survey_data(settings, sorted({model.image_size for model in models}))
    if task["pretrained"]:
        check_weights(models, task["weights"])
    tell(
        "found",
        data=[size.classes, size.train, size.val, size.test],
        models=[[m.name, m.timm, m.image_size, m.params, m.mmacs] for m in models],
    )


def survey_data(settings: Settings, image_sizes: Sequence[int] = ()) -> DataSize:
    """Look at the data, and refuse what no performance can be had of.

    Args:
        settings: What the runs share.
        image_sizes: The sizes that its models take, from the smallest, where the settings leave that to the model.

    Raises:
        FileNotFoundError: If it is not there.
        ModuleNotFoundError: If what reads it is not installed.
        ValueError: If its labels are not classes, or a part lacks some.
    """
    from lightning_pepr.study.data.modules import check_data, make_data

    # Which image is in which part does not depend on their size, so a small one will do, except for MedMNIST's data
    # sets: each size has its file, and those that the runs will read must be there.
    sizes = [settings.image_size] if settings.image_size else list(image_sizes)
    data, *others = (
        make_data(
            settings.data,
            size,
            settings.batch_size,
            train_samples=settings.train_samples,
            eval_samples=settings.eval_samples,
        )
        for size in (sizes if sizes and settings.data.startswith(MEDMNIST) else [32])
    )
    for each in (data, *others):
        each.prepare_data()
    data.setup("fit")
    check_data(data, settings.data, settings.measure)
    return DataSize(data.num_classes, **data.sizes())


def survey_models(wanted: Sequence[str], image_size: int | None, tell: Tell = lambda *_, **__: None) -> list[Model]:
    """Find models in timm, and the size of their images.

    Args:
        wanted: Names and wildcards.
        image_size: Side of the images in pixels; None takes the smallest multiple of 32 that a model accepts.
        tell: Told which model is looked at, since that takes up to some seconds each.

    Raises:
        ModuleNotFoundError: If timm is not installed.
        ValueError: If a model is unknown, or refuses images of that size.
    """
    known = architectures()
    if all(name in known for name in wanted):
        names = list(wanted)
    else:
        timm = _timm()
        listed = timm.list_models()
        # Names with a tag and deprecated ones are not listed, but known as well.
        more = [*timm.list_pretrained(), *(w for w in wanted if not WILDCARDS & set(w) and _is_model(w))]
        names = match_names(wanted, listed, more=more)
    found, refused = [], []
    for number, name in enumerate(names):
        tell("model", name=name, number=number + 1, of=len(names))
        architecture = known.get(name)
        if architecture is not None and (image_size is None or architecture.accepts(image_size)):
            size = image_size or architecture.image_size
            model = Model(name, architecture.timm, size, architecture.params, architecture.mmacs_at(size))
        else:
            tried = _try(name, image_size)
            if isinstance(tried, str):
                refused.append(f"{name} ({tried})")
                continue
            model = tried
        found.append(model)
    if refused:
        more_of = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
        raise ValueError(
            f"images of {image_size} px are refused by {', '.join(refused[:5])}{more_of}; choose another --image-size, "
            "or auto, which picks the smallest multiple of 32 for each model."
        )
    return found


def check_weights(models: Sequence[Model], weights: dict[str, str]) -> None:
    """Refuse models whose pretrained weights cannot be had, before anything is trained.

    Args:
        models: The models.
        weights: Files, by the name of the model.

    Raises:
        FileNotFoundError: If a file is not there, or timm's weights are neither in the cache nor to be reached.
        ValueError: If timm has none, or a file does not fit its model.
    """
    timm = _timm()
    for model in models:
        file = weights.get(model.name)
        if file is not None:
            if not Path(file).is_file():
                raise FileNotFoundError(f"--weights {model.name}={file}: there is no such file.")
            try:
                timm.create_model(model.timm, pretrained=True, pretrained_cfg_overlay={"file": file})
            except Exception as error:  # pickle, safetensors and torch have many ways to fail
                text = str(error).strip().splitlines() or [type(error).__name__]
                raise ValueError(
                    f"--weights {model.name}={file} does not fit the model: {' '.join(text[:2])}"
                ) from error
            continue
        config = timm.models.get_pretrained_cfg(model.timm)
        if config is None or not config.has_weights:
            raise ValueError(
                f"timm has no pretrained weights for {model.name}; leave it out, or give a file: "
                f"--weights {model.name}=FILE."
            )
        trouble = _unreachable(config)
        if trouble:
            raise FileNotFoundError(
                f"the pretrained weights of {model.name} cannot be had ({trouble}). Give a file, --weights "
                f'{model.name}=FILE, or download them on a machine with a network: python -c "import timm; '
                f"timm.create_model('{model.timm}', pretrained=True)\", or train with --scratch."
            )


def _unreachable(config: Any) -> str:
    """Why pretrained weights of timm can be neither found nor reached; empty if they can."""
    import urllib.request

    import torch
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    if config.hf_hub_id:
        repository, _, revision = config.hf_hub_id.partition("@")
        files = ["model.safetensors", "pytorch_model.bin"]
        if any(isinstance(try_to_load_from_cache(repository, file), str) for file in files):
            return ""
        trouble = "unknown"
        for file in files:
            try:
                get_hf_file_metadata(hf_hub_url(repository, file, revision=revision or None), timeout=15)
                return ""
            except Exception as error:  # offline, no such file, no such repository, …
                trouble = f"{repository} on the Hugging Face hub: {type(error).__name__}"
        return trouble
    if config.file:
        return "" if Path(config.file).is_file() else f"{config.file} is not there"
    if Path(torch.hub.get_dir(), "checkpoints", Path(config.url).name).is_file():
        return ""
    try:
        with urllib.request.urlopen(urllib.request.Request(config.url, method="HEAD"), timeout=15):
            return ""
    except OSError as error:
        return f"{config.url}: {error}"


def _try(name: str, image_size: int | None) -> Model | str:
    """The model as a size of images shows it, or else what size it needs, in words."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    module = _without_weights(name)

    def mmacs(size: int) -> float | None:
        counter = FlopCounterMode(display=False)
        try:
            with counter, torch.no_grad():
                module(torch.zeros(2, 3, size, size, device="meta"))
        except Exception:  # each architecture has its own way to refuse
            return None
        return counter.get_total_flops() / 2 / 2 / 1e6  # of two images; a multiply-accumulate is two operations

    params = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    if image_size is not None and (found := mmacs(image_size)) is not None:
        return Model(name, timm_name(name), image_size, params, found)
    usual = module.pretrained_cfg.get("input_size", (3, 224, 224))[-1]
    for size in sorted({*range(32, 385, 32), usual, LARGEST}):
        if (found := mmacs(size)) is not None:
            if image_size is None:
                return Model(name, timm_name(name), size, params, found)
            return f"needs {size} px" if size == usual else f"takes {size} px; made for {usual}"
    return "no size that was tried is accepted"


def _without_weights(name: str) -> Any:
    """A model of timm that takes no memory for its weights."""
    import warnings

    import torch

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _timm().create_model(timm_name(name)).eval()


def _is_model(name: str) -> bool:
    """Whether timm makes a model of that name, which may have a tag or be deprecated."""
    timm = _timm()
    base, _, tag = name.partition(".")
    return bool(timm.is_model(base)) and (not tag or name in timm.list_pretrained(f"{base}.*"))


def _timm() -> Any:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the architectures come with timm. Try: pip install 'lightning-pepr[study]'", name="timm"
        ) from error
    return timm


if __name__ == "__main__":
    sys.exit(main())

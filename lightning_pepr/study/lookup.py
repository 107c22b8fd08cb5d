"""Look models, data and weights up, and refuse what cannot be trained, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lightning_pepr.errors import PePRError
from lightning_pepr.paper.architectures import architectures, timm_name
from lightning_pepr.study.models import WILDCARDS, match_names
from lightning_pepr.study.runs import DataSize, Model
from lightning_pepr.study.settings import MEDMNIST, Settings
from lightning_pepr.utilities.imports import require

Send = Callable[..., None]
"""Called with an event and its values, such as "model", name="dla34", number=1, of=2."""

LARGEST = 1024
"""The largest side of an image that is tried, in pixels."""

require_timm = partial(require, "timm", "study", "training models")


def look_up(
    settings: Settings, wanted: Sequence[str], pretrained: bool, weights: Mapping[str, str], send: Send
) -> tuple[list[Model], DataSize]:
    """Look models (names and wildcards) and data up, and refuse what cannot be trained; `send` gets each model."""
    # MedMNIST has a file for each of some sizes; which are needed is then known when the models are.
    later = settings.image_size is None and settings.data.startswith(MEDMNIST)
    size = None if later else look_up_data(settings)
    models = look_up_models(wanted, settings.image_size, send)
    size = size or look_up_data(settings, sorted({model.image_size for model in models}))
    if pretrained:
        check_weights(models, weights)
    return models, size


def look_up_data(settings: Settings, image_sizes: Sequence[int] = ()) -> DataSize:
    """Look at the data, and refuse those that no performance can be measured on.

    Where the settings leave the size of images to the models, `image_sizes` are theirs, from the smallest.
    """
    from lightning_pepr.study.data.registry import check_data, make_data

    # Which image is in which part does not depend on their size, so a small one will do, except for MedMNIST's data
    # sets: each size has its file, and those that the runs will read must be there.
    sizes = [settings.image_size] if settings.image_size else list(image_sizes)
    tried = sizes if sizes and settings.data.startswith(MEDMNIST) else [32]
    found = [make_data(settings, size) for size in tried]
    for data in found:
        data.prepare_data()
    found[0].setup("fit")
    check_data(found[0], settings.data, settings.measure)
    return DataSize(found[0].num_classes, **found[0].sizes())


def look_up_models(wanted: Sequence[str], image_size: int | None, send: Send = lambda *_, **__: None) -> list[Model]:
    """Find models in timm, and the size of their images; `send` gets each, since that takes up to some seconds."""
    known = architectures()
    if all(name in known for name in wanted):
        names = list(wanted)
    else:
        timm = require_timm()

        def is_model(name: str) -> bool:
            base, _, tag = name.partition(".")
            return bool(timm.is_model(base)) and (not tag or name in timm.list_pretrained(f"{base}.*"))

        # Names with a tag and deprecated ones are not listed, but known as well.
        more = [*timm.list_pretrained(), *(w for w in wanted if not WILDCARDS & set(w) and is_model(w))]
        names = match_names(wanted, timm.list_models(), more=more)
    found, refused = [], []
    for number, name in enumerate(names):
        send("model", name=name, number=number + 1, of=len(names))
        architecture = known.get(name)
        if architecture is not None and (image_size is None or architecture.accepts(image_size)):
            size = image_size or architecture.image_size
            found.append(Model(name, architecture.timm, size, architecture.params, architecture.mmacs_at(size)))
        elif isinstance(tried := _try(name, image_size), Model):
            found.append(tried)
        else:
            refused.append(f"{name} ({tried})")
    if refused:
        more_of = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
        raise PePRError(
            f"images of {image_size} px are refused by {', '.join(refused[:5])}{more_of}; choose another --image-size, "
            "or auto, which picks the smallest multiple of 32 for each model."
        )
    return found


def check_weights(models: Sequence[Model], weights: Mapping[str, str]) -> None:
    """Refuse models without pretrained weights, timm's or those of a file that `weights` names for the model."""
    timm = require_timm()
    for model in models:
        file = weights.get(model.name)
        if file is not None:
            if not Path(file).is_file():
                raise FileNotFoundError(f"--weights {model.name}={file}: there is no such file.")
            try:
                timm.create_model(model.timm, pretrained=True, pretrained_cfg_overlay={"file": file})
            except Exception as error:  # pickle, safetensors and torch have many ways to fail
                text = str(error).strip().splitlines() or [type(error).__name__]
                why = f"--weights {model.name}={file} does not fit the model: {' '.join(text[:2])}"
                raise PePRError(why) from error
            continue
        config = timm.models.get_pretrained_cfg(model.timm)
        if config is None or not config.has_weights:
            give = f"give a file: --weights {model.name}=FILE."
            raise PePRError(f"timm has no pretrained weights for {model.name}; leave it out, or {give}")
        trouble = _unreachable(config)
        if trouble:
            raise FileNotFoundError(
                f"the pretrained weights of {model.name} cannot be loaded ({trouble}). Give a file, --weights "
                f'{model.name}=FILE, or download them on a machine with a network: python -c "import timm; '
                f"timm.create_model('{model.timm}', pretrained=True)\", or train with --scratch."
            )


def _unreachable(config: Any) -> str:
    """Say why pretrained weights of timm can be neither found nor reached; empty if they can."""
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
    """The model at the size of images that it takes, or else which size it needs, in words."""
    import warnings

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), warnings.catch_warnings():  # where weights take no memory
        warnings.simplefilter("ignore")
        module = require_timm().create_model(timm_name(name)).eval()

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

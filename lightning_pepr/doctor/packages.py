"""Which loggers and extras are installed."""

from __future__ import annotations

from importlib import metadata

from lightning_pepr.doctor.troubles import Trouble

EXTRAS = ("carbon", "cli", "mlflow", "ray", "report", "study", "wandb")
LOGGERS = {"tensorboard": "TensorBoardLogger", "mlflow": "MLFlowLogger", "wandb": "WandbLogger"}


def version_of(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def examine_extras() -> tuple[dict[str, dict[str, list[str]]], list[Trouble]]:
    """For each extra its packages that are missing."""
    try:
        from packaging.requirements import Requirement

        needed = [Requirement(text) for text in metadata.requires("lightning-pepr") or []]
    except (ModuleNotFoundError, metadata.PackageNotFoundError):
        return {}, []
    found, troubles = {}, []
    for extra in EXTRAS:
        packages = [
            each.name
            for each in needed
            if each.marker and each.marker.evaluate({"extra": extra}) and not each.marker.evaluate({"extra": ""})
            if not each.extras
        ]
        if packages:
            found[extra] = {"missing": [name for name in packages if version_of(name) is None]}
        if packages and (missing := ", ".join(found[extra]["missing"])):
            do = f"pip install 'lightning-pepr[{extra}]'"
            troubles.append(Trouble(f"The extra {extra} is not complete: {missing}.", do))
    return found, troubles

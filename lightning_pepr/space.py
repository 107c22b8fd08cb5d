"""The model space over which costs are normalised: low and high of each resource, and their source."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lightning_pepr import functional
from lightning_pepr.cost import RESOURCES, Cost, Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.paper.spaces import DEVICE, MODELS, NOTE, PAPER, REJECTED, SETTINGS, TABLE
from lightning_pepr.record import SPACE_SCHEMA, check_ranges, check_space
from lightning_pepr.utilities.files import read_plain, write_whole
from lightning_pepr.utilities.json import read_json

if TYPE_CHECKING:
    from lightning_pepr.runs.columns import Columns
    from lightning_pepr.runs.load import Source

ArrayT = TypeVar("ArrayT")


class ModelSpace:
    """Low and high of each resource, over which costs are normalised to R.

    Scores compare only within one space: R = 0 is the cheapest model of the space, R = 1 the most expensive.

    Args:
        ranges: For each resource (by name, letter or field) the pair (low, high) in the unit of its field.
        source: Where the ranges come from, in words; kept in records and files.
        models: How many models they were taken from, if any.
        device: What the costs were measured on, in words; empty if unknown.
        note: What else somebody who compares with the space should know.

    Raises:
        PePRError: If a resource is unknown or given twice, or a range is not 0 <= low <= high.

    >>> space = ModelSpace({"energy_kwh": (0.25, 1.25), "T": (60, 3600)})
    >>> space.normalize(0.75, "energy")
    0.5
    >>> [resource.letter for resource in space]
    ['E', 'T']
    """

    def __init__(
        self,
        ranges: Mapping[str, tuple[float, float]],
        *,
        source: str = "by hand",
        models: int | None = None,
        device: str = "",
        note: str = "",
    ) -> None:
        self.ranges = check_ranges(ranges)
        self.source = source
        self.models = models
        self.device = device
        self.note = note

    @classmethod
    def of(cls, space: ModelSpace | str | os.PathLike[str]) -> ModelSpace:
        """Find a space by what stands for it: itself, a file that `save` wrote, or the name of a published one.

        Args:
            space: A space; a path; or a name of `published`, with ":clean" after it for `clean=True`.

        Raises:
            FileNotFoundError: If there is neither a file nor a published space of that name; lists the names.
            PePRError: If the file does not hold a space.
        """
        if isinstance(space, ModelSpace):
            return space
        name, _, clean = str(space).partition(":")
        if not Path(space).is_file():
            if name in SETTINGS and clean in ("", "clean"):
                return _published(name, bool(clean))
            raise FileNotFoundError(
                f"there is no file {os.fspath(space)!r} to read a space from, and no published space of that name; "
                f"those are {', '.join(SETTINGS)} (each also with ':clean')."
            )
        return cls.load(space)

    @classmethod
    def published(cls, name: str, clean: bool = False) -> ModelSpace:
        """The space of one of the paper's eight settings: 131 models each, ten epochs.

        Args:
            name: "derma", "derma_pt", "derma_small", "derma_smallest", "lidc", "lidc_small", "pneumonia" or
                "pneumonia_small".
            clean: Whether to leave out the rows whose energy and CO2 are those of another run, as `audit` finds them.
                In the five settings that have such rows (derma_small, derma_smallest, lidc_small, pneumonia,
                pneumonia_small) they set the high of energy, of carbon or of both; with them, a warning says so.

        Returns:
            A space of energy, carbon, memory and parameters, with the source and the device. It has no time: the
            table has the time of one epoch beside the energy of ten.

        Raises:
            PePRError: If no setting has that name; the message lists those that exist.

        Source:
            The published results of https://arxiv.org/abs/2403.12562, in https://github.com/saintslab/PePR.

        >>> ModelSpace.published("derma_pt").range("energy")
        (0.010745538283, 0.254142283589)
        >>> ModelSpace.published("derma_small", clean=True).range("energy")
        (0.001902473153, 0.030136924003)
        """
        return _published(name, clean)

    @classmethod
    def budget(cls, **amounts: float) -> ModelSpace:
        """A space from 0 to what you are willing to spend: R is the share of the budget that was used.

        Args:
            **amounts: For each resource (by name, letter or field) the budget, in the unit of its field.

        Raises:
            PePRError: If no budget is given, one is not a positive number, or a resource is unknown.

        >>> ModelSpace.budget(energy_kwh=0.5, time_s=3600).normalize(0.25, "energy")
        0.5
        """
        if not amounts:
            raise PePRError("budget() got no budget; expected at least one, such as energy_kwh=0.5.")
        for name, amount in amounts.items():
            Resource.of(name)
            if isinstance(amount, str) or not 0 < float(amount) < math.inf:
                raise PePRError(f"the budget of {name} is {amount!r}; expected a finite number larger than 0.")
        return cls({name: (0.0, amount) for name, amount in amounts.items()}, source="budget")

    @classmethod
    def from_runs(cls, runs: Source, columns: Columns | None = None) -> ModelSpace:
        """The space that a set of runs spans: the least and the most that any of them spent of each resource.

        Args:
            runs: A folder of records, a CSV table (CodeCarbon's `emissions.csv`, too), several of them, or what
                `load_runs` returned. A resource is part of the space if at least one run has measured it. Measured
                beside estimated energy, and different devices, are pointed out. Where some runs have a performance,
                those without one are left out, which a warning says.
            columns: Same as for `load_runs`, for tables with names of their own.

        Raises:
            FileNotFoundError: If a path does not exist.
            PePRError: If there is no run, none with a cost, or a cost is negative or not finite.
        """
        from lightning_pepr.runs.checks import check_runs, sets_space, warn_of_mixtures, warn_of_unscored
        from lightning_pepr.runs.load import read_runs

        table = read_runs(runs, columns=columns)
        check_runs(table, scored=False)
        warn_of_unscored(table)
        table = table.filter(sets_space())
        warn_of_mixtures(table)
        amounts = {r.field: table[r.field] for r in RESOURCES if table[r.field].count()}
        ranges = {field: (float(each.min()), float(each.max())) for field, each in amounts.items()}  # type: ignore[arg-type]
        if not ranges:
            raise PePRError(f"none of the {len(table)} runs has a cost; expected at least one measured resource.")
        devices = table["device"].unique()
        device = (devices[0] or "") if len(devices) == 1 else ""
        return cls(ranges, source=f"{len(table)} runs", models=table["model"].n_unique(), device=device)

    def __contains__(self, resource: object) -> bool:
        return isinstance(resource, (str, Resource)) and Resource.of(resource).field in self.ranges

    def __iter__(self) -> Iterator[Resource]:
        return (Resource.of(field) for field in self.ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelSpace) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((tuple(self.ranges.items()), self.source, self.models))

    def __repr__(self) -> str:
        return f"ModelSpace({self.ranges!r}, source={self.source!r}, models={self.models!r})"

    def range(self, resource: str | Resource) -> tuple[float, float]:
        """Low and high of one resource, in the unit of its field.

        Raises:
            PePRError: If the space does not have the resource; says which it has.
        """
        found = Resource.of(resource)
        if found.field not in self.ranges:
            raise PePRError(
                f"this space has no {found.name} ({found.field}); it has {', '.join(self.ranges)}. "
                f"Add a range for it, such as ModelSpace.budget({found.field}=…)."
            )
        return self.ranges[found.field]

    def normalize(self, cost: ArrayT, resource: str | Resource) -> ArrayT:
        """R of a cost of one resource; see `lightning_pepr.normalize`."""
        return functional.normalize(cost, *self.range(resource))

    def amount(self, cost: Any, resource: str | Resource) -> Any:
        """The amount of one resource in a cost that may be a number or a `Cost`.

        Raises:
            PePRError: If the `Cost` has not measured the resource, or the space does not have it.
        """
        found = Resource.of(resource)
        self.range(found)
        if not isinstance(cost, Cost):
            return cost
        value = cost.amount(found)
        if value is None:
            known = ", ".join(r.field for r, _ in cost.items()) or "nothing"
            raise PePRError(f"the cost has no {found.field} (not measured); it has {known}.")
        return value

    def to_dict(self) -> dict[str, Any]:
        """The space as plain types, as a record and `save` hold it."""
        ranges = {field: list(pair) for field, pair in self.ranges.items()}
        plain = {"schema": SPACE_SCHEMA, "ranges": ranges, "source": self.source, "models": self.models}
        return plain | {key: text for key, text in (("device", self.device), ("note", self.note)) if text}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpace:
        """The space of `to_dict`.

        Raises:
            PePRError: If it is none, or of another schema.
        """
        ranges = check_space(data)
        words = {key: str(data.get(key, "")) for key in ("source", "device", "note")}
        return cls(ranges, models=data.get("models"), **words)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the space to a JSON file, whole: if it cannot be written, an older file stays as it is."""
        write_whole(Path(path), json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ModelSpace:
        """Read a space that `save` wrote.

        Raises:
            PePRError: If the file does not hold a space.
        """
        try:
            return cls.from_dict(read_json(read_plain(Path(path))))
        except ValueError as error:
            raise PePRError(f"{os.fspath(path)} does not hold a model space: {error}") from error


def _published(name: str, clean: bool) -> ModelSpace:
    """The space of a setting of the paper; the warning names the line that called this function's caller."""
    if name not in SETTINGS:
        raise PePRError(f"there is no published space {name!r}; expected one of {', '.join(SETTINGS)}.")
    setting = SETTINGS[name]
    ranges, kept = setting.ranges(clean), setting.ranges(clean=True)
    source, models, note = f"{PAPER}; table of {TABLE}, setting {name}", MODELS, NOTE
    if clean and setting.rejected:
        source += f", without {setting.rejected} of its {MODELS} rows, which have the energy of another run"
        models -= setting.rejected
    elif setting.rejected:
        highs = [(field, high, kept[field][1]) for field, (_, high) in ranges.items()]
        moved = [f"{field} ({high:.3g}, without them {least:.3g})" for field, high, least in highs if high != least]
        warning = REJECTED.format(count=setting.rejected, models=MODELS, name=name, highs=" and ".join(moved))
        clean_one = f"ModelSpace.published({name!r}, clean=True)"
        warnings.warn(f"{warning}. {clean_one} leaves these rows out.", stacklevel=3)
        note = f"{warning}. {NOTE}"
    return ModelSpace(ranges, source=source, models=models, device=DEVICE, note=note)

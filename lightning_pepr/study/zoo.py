"""The paper's 131 architectures, what they are called in timm today, and how names of models are looked up.

Neither torch nor timm is needed here: what is known of the 131 is in `architectures.csv`, which a test checks against
timm.
"""

from __future__ import annotations

import csv
import difflib
import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Literal

PAPER = "paper"
"""Stands for all of the paper's architectures in a list of models."""

WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Architecture:
    """One of the paper's architectures.

    Attributes:
        name: The paper's name.
        timm: Today's name in timm.
        kind: "CNN" or "Other", as in the paper.
        efficient: Whether the paper counts it to those that were designed to be efficient.
        params: Trainable parameters with 1000 classes and 3 channels.
        image_size: The smallest multiple of 32 that it accepts as the side of an image, in pixels.
        step: From there on, it accepts multiples of this.
        mmacs: Multiply-accumulates of a forward pass over one image of `image_size`, in millions.
    """

    name: str
    timm: str
    kind: Literal["CNN", "Other"]
    efficient: bool
    params: int
    image_size: int
    step: int
    mmacs: float

    def accepts(self, image_size: int) -> bool | None:
        """Whether it takes images of this size; None if that has to be tried: only multiples of 32 to 256 have been."""
        if image_size % 32 or image_size > 256:
            return None
        return image_size >= self.image_size and image_size % self.step == 0

    def mmacs_at(self, image_size: int) -> float:
        """Multiply-accumulates at another size, in millions: they grow with the number of pixels, nearly."""
        return self.mmacs * (image_size / self.image_size) ** 2


@functools.cache
def architectures() -> dict[str, Architecture]:
    """The paper's 131 architectures by name, from the fewest to the most parameters.

    Source:
        Selvan et al., PePR, NLDL 2025 (arXiv 2403.12562), and its repository: names, parameters, kind, efficient.

    >>> len(architectures()), architectures()["gluon_xception65"].timm
    (131, 'xception65')
    """
    text = resources.files("lightning_pepr.study").joinpath("architectures.csv").read_text(encoding="utf-8")
    found = [
        Architecture(
            name=row["name"],
            timm=row["timm"],
            kind="CNN" if row["type"] == "CNN" else "Other",
            efficient=row["efficient"] == "1",
            params=int(row["params"]),
            image_size=int(row["image_size"]),
            step=int(row["step"]),
            mmacs=float(row["mmacs"]),
        )
        for row in csv.DictReader(text.splitlines())
    ]
    return {each.name: each for each in sorted(found, key=lambda each: (each.params, each.name))}


def timm_name(name: str) -> str:
    """Today's name in timm of one of the paper's architectures; any other name stays as it is.

    >>> timm_name("gluon_resnet34_v1b"), timm_name("vit_tiny_patch16_224")
    ('resnet34.gluon_in1k', 'vit_tiny_patch16_224')
    """
    known = architectures().get(name)
    return known.timm if known else name


def read_names(wanted: str | Sequence[str]) -> list[str]:
    """Read a list of models: names, wildcards, "paper", and "@file" for a file of these.

    Args:
        wanted: Separated by commas or white space, or a list. In a file, what follows a "#" is a comment.

    Returns:
        Names and wildcards, each once, in order, with files read and "paper" replaced by the 131.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If nothing is left.

    >>> read_names("resnet18d, dla34,resnet18d")
    ['resnet18d', 'dla34']
    >>> len(read_names("paper"))
    131
    """
    found = list(dict.fromkeys(_names([wanted] if isinstance(wanted, str) else wanted)))
    if not found:
        raise ValueError(
            f'--models names no model: {wanted!r}; expected names of timm, wildcards, "paper", or "@file".'
        )
    return found


def _names(words: Iterable[str]) -> Iterator[str]:
    for text in words:
        for word in text.replace(",", " ").split():
            if word == PAPER:
                yield from architectures()
            elif word.startswith("@"):
                path = Path(word[1:])
                if not path.is_file():
                    raise FileNotFoundError(f"there is no file {word[1:]!r} with names of models (--models {word}).")
                lines = path.read_text(encoding="utf-8").splitlines()
                yield from _names(line.partition("#")[0] for line in lines)
            else:
                yield word


def match_names(wanted: Iterable[str], known: Iterable[str], *, more: Iterable[str] = ()) -> list[str]:
    """Expand wildcards, and check that all other names are known.

    Args:
        wanted: Names and wildcards.
        known: Names that wildcards are matched against. Those of the paper always are known; a wildcard adds none of
            them for a model that `known` has under its name of today.
        more: Names that are known besides, such as deprecated ones and those with a tag of weights. Wildcards match
            them only if they have a dot, as those with a tag do.

    Returns:
        Names, each once.

    Raises:
        ValueError: If a name is unknown (names the nearest), or a wildcard matches nothing.

    >>> match_names(["resnet1?", "dla34"], ["resnet18", "resnet14t", "vgg11"])
    ['resnet18', 'dla34']
    >>> match_names(["resnet18.*"], ["resnet18"], more=["resnet18.a1_in1k"])
    ['resnet18.a1_in1k']
    >>> match_names(["resnet18"], ["resnet14t"])
    Traceback (most recent call last):
    ...
    ValueError: unknown model 'resnet18'. Did you mean 'resnet18d', ...?
    """
    names, more = list(dict.fromkeys([*known, *architectures()])), list(more)
    exact = {*names, *more}
    aliases = {each.name for each in architectures().values() if each.timm.partition(".")[0] != each.name}
    found: dict[str, None] = {}
    for word in wanted:
        if word in exact:
            found[word] = None
        elif WILDCARDS & set(word):
            pool = more if "." in word else names
            hits = [name for name in pool if fnmatchcase(name, word) and name not in aliases]
            if not hits:
                raise ValueError(f"no model of timm matches {word!r}. Try a shorter one, such as 'resnet*'.")
            found.update(dict.fromkeys(hits))
        else:
            close = difflib.get_close_matches(word, sorted(exact), n=3, cutoff=0.6)
            hint = f" Did you mean {', '.join(map(repr, close))}?" if close else ""
            raise ValueError(f"unknown model {word!r}.{hint}")
    return list(found)

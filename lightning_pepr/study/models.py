"""The names of models in a study: lists of them, wildcards, and files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from lightning_pepr.errors import PePRError
from lightning_pepr.paper.architectures import architectures

PAPER = "paper"
"""Stands for all of the paper's architectures in a list of models."""

WILDCARDS = frozenset("*?[")


def read_names(wanted: str | Sequence[str]) -> list[str]:
    """Read a list of models: names, wildcards, "paper", and "@file" for a file of these.

    Args:
        wanted: Separated by commas or white space, or a list. In a file, what follows a "#" is a comment.

    Returns:
        Names and wildcards, each once, in order, with files read and "paper" replaced by the 131.

    Raises:
        FileNotFoundError: If there is no such file.
        PePRError: If nothing is left.

    >>> read_names("resnet18d, dla34,resnet18d")
    ['resnet18d', 'dla34']
    >>> len(read_names("paper"))
    131
    """
    found = list(dict.fromkeys(_names([wanted] if isinstance(wanted, str) else wanted)))
    if not found:
        raise PePRError(f'--models names no model: {wanted!r}; expected names of timm, wildcards, "paper", or "@file".')
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
        PePRError: If a name is unknown (names the nearest), or a wildcard matches nothing.

    >>> match_names(["resnet1?", "dla34"], ["resnet18", "resnet14t", "vgg11"])
    ['resnet18', 'dla34']
    >>> match_names(["resnet18.*"], ["resnet18"], more=["resnet18.a1_in1k"])
    ['resnet18.a1_in1k']
    >>> match_names(["resnet18"], ["resnet14t"])
    Traceback (most recent call last):
    ...
    lightning_pepr.errors.PePRError: unknown model 'resnet18'. Did you mean 'resnet18d', ...?
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
                raise PePRError(f"no model of timm matches {word!r}. Try a shorter one, such as 'resnet*'.")
            found.update(dict.fromkeys(hits))
        else:
            close = difflib.get_close_matches(word, sorted(exact), n=3, cutoff=0.6)
            hint = f" Did you mean {', '.join(map(repr, close))}?" if close else ""
            raise PePRError(f"unknown model {word!r}.{hint}")
    return list(found)

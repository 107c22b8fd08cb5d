"""The names of models in a study: lists of them, wildcards, and files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from lightning_pepr.errors import PePRError
from lightning_pepr.paper.architectures import architectures
from lightning_pepr.utilities.files import read_plain

WILDCARDS = frozenset("*?[")


def read_names(wanted: str | Sequence[str]) -> list[str]:
    """Read a list of models: names, wildcards, "paper", and "@file" for a file of these, where "#" begins a comment."""
    found = list(dict.fromkeys(_names([wanted] if isinstance(wanted, str) else wanted)))
    if not found:
        raise PePRError(f'--models names no model: {wanted!r}; expected names of timm, wildcards, "paper", or "@file".')
    return found


def _names(words: Iterable[str]) -> Iterator[str]:
    for text in words:
        for word in text.replace(",", " ").split():
            if word == "paper":
                yield from architectures()
            elif word.startswith("@"):
                path = Path(word[1:])
                if not path.is_file():
                    raise FileNotFoundError(f"there is no file {word[1:]!r} with names of models (--models {word}).")
                lines = read_plain(path).decode("utf-8").splitlines()
                yield from _names(line.partition("#")[0] for line in lines)
            else:
                yield word


def match_names(wanted: Iterable[str], known: Iterable[str], *, more: Iterable[str] = ()) -> list[str]:
    """Expand wildcards, and check that all other names are known; those of the paper always are.

    Names that are known besides (`more`), such as those with a tag of weights, match wildcards that have a dot.
    """
    names, more = list(dict.fromkeys([*known, *architectures()])), list(more)
    exact = {*names, *more}
    # A wildcard adds no name of the paper for a model that timm has under its name of today.
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

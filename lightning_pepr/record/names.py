"""Which runs are of one model, and what a model is called where its name alone does not tell."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lightning_pepr.cost import PARAMS, three_digits, unit_for
from lightning_pepr.record.run import RunRecord

_MOST_PARTS = 3  # in a label; of more differences, as many as it takes
_MOST_SIGNS = 32  # of a value in a label

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SEEDS = {"seed", "seeds", "rng"}
_OUTPUT = re.compile(
    "(log|logger|save|out|output|run|work|working|exp|experiment|result|root|artifact|tmp|temp|scratch|cache|"
    "tensorboard|tb|checkpoint|ckpt)s?"
)
_FOLDERS = {"dir", "directory", "folder", "path", "file"}
_INPUT = {"data", "dataset", "image", "images", "train", "val", "test"}
_JOINED = {"logdir", "savedir", "outdir", "outputdir", "rundir", "workdir"}

Key = tuple["float | None", "str | None", "str | None"]  # parameters, settings, hyperparameters; None is not known


class Identity(NamedTuple):
    """What a run is known by: its group, the model's name and parameters, and its `configuration`."""

    group: str | None
    model: str | None
    params: float | None
    configuration: str | None


def identity_of(record: RunRecord) -> Identity:
    """Find what a record is known by."""
    counted = record.costs.get(PARAMS.field)
    params = record.params if counted is None or counted.value is None else counted.value
    return Identity(record.group or None, record.model, params, configuration_of(record))


def configuration_of(record: RunRecord) -> str | None:
    """Write as JSON what tells a run from others of its model's name: settings, and hyperparameters without a name.

    Seeds, and what only says where a run's files are, tell repeats apart, not models, and are left out.

    >>> configuration_of(RunRecord("Net", hyperparameters={"lr": 0.1, "seed": 3}, settings={"log_dir": "a"}))
    '{"hyperparameters": {"lr": 0.1}}'
    """
    parts = {"settings": _flatten(record.settings)}
    if not record.named:
        parts["hyperparameters"] = _flatten(record.hyperparameters)
    known = {name: values for name, values in parts.items() if values}
    return json.dumps(known, sort_keys=True, default=str) if known else None


def label_models(runs: Sequence[Identity]) -> list[str | None]:
    """Name the model of each run, so that two runs of a group have one label if, and only if, they are of one model.

    Runs of one name are of one model if neither parameters nor configuration tell them apart. Where these are not known
    of a run, it is taken for the only one that it can be, and for a model of its own if there are several. A name is
    followed by what differs among its models, as short as it may be.

    >>> label_models([Identity(None, "Net", p, None) for p in (4.8e6, 4.8e6, 163e6)])
    ['Net (4.8 M parameters)', 'Net (4.8 M parameters)', 'Net (163 M parameters)']
    """
    kinds: dict[str | None, dict[str, set[Key]]] = defaultdict(lambda: defaultdict(set))
    keys = [_key(run) for run in runs]
    for run, key in zip(runs, keys, strict=True):
        if run.model is not None:
            kinds[run.group][run.model].add(key)
    labels = {group: _labels_of_group(models) for group, models in kinds.items()}
    return [
        None if run.model is None else labels[run.group][run.model, key] for run, key in zip(runs, keys, strict=True)
    ]


def _key(run: Identity) -> Key:
    params = None if run.params is None or math.isnan(run.params) else float(run.params)
    try:
        parts = json.loads(run.configuration or "{}")
        settings, hyperparameters = (parts.pop(name, {}) for name in ("settings", "hyperparameters"))
        if parts or not (isinstance(settings, dict) and isinstance(hyperparameters, dict)):
            raise ValueError
    except (ValueError, AttributeError, TypeError):  # a table's own words
        settings, hyperparameters = {"configuration": run.configuration}, {}
    # That there are no settings is known: somebody would have given them.
    return params, _canonical(settings), _canonical(hyperparameters) if hyperparameters else None


def _labels_of_group(models: Mapping[str, set[Key]]) -> dict[tuple[str, Key], str]:
    taken_for = {(name, key): full for name, keys in models.items() for key, full in _completed(keys).items()}
    of_name: dict[str, set[Key]] = defaultdict(set)
    for (name, _), key in taken_for.items():
        of_name[name].add(key)
    labels = {(name, key): label for name, keys in of_name.items() for key, label in _labels_of_name(name, keys)}
    # Values may be cut, and somebody may have called a model what another is labelled.
    plain = {name for name, keys in of_name.items() if len(keys) == 1}
    places, used = defaultdict(list), set(labels.values())
    for place, label in labels.items():
        places[label].append(place)
    for label, same in places.items():
        for name, key in sorted(same, key=repr) if len(same) > 1 else ():
            if name != label or name not in plain:
                digest = hashlib.sha256(repr((name, key)).encode()).hexdigest()
                ends = (f"{label} #{digest[:size]}" for size in range(6, 65))
                labels[name, key] = next(each for each in ends if each not in used)
                used.add(labels[name, key])
    return {(name, key): labels[name, completed] for (name, key), completed in taken_for.items()}


def _completed(keys: Collection[Key]) -> dict[Key, Key]:
    """Fill in what is not known of runs from the others, where only one model remains that a run can be of."""
    fuller: dict[Key, list[Key]] = {}
    for unknown in {tuple(value is None for value in key) for key in keys}:
        alike = defaultdict(list)
        for key in keys:
            alike[_without(key, unknown)].append(key)
        for key in keys:
            if tuple(value is None for value in key) == unknown:
                fuller[key] = [other for other in alike[_without(key, unknown)] if other != key]
    completed = {}
    for key, others in fuller.items():
        fullest = list(itertools.islice((other for other in others if not fuller[other]), 2))
        completed[key] = fullest[0] if len(fullest) == 1 else key
    return completed


def _without(key: Key, unknown: Sequence[bool]) -> tuple[object, ...]:
    return tuple(value for value, left_out in zip(key, unknown, strict=True) if not left_out)


def _labels_of_name(name: str, keys: set[Key]) -> Iterable[tuple[Key, str]]:
    """Label each model of a name by what differs among them."""
    if len(keys) == 1:
        return [(key, name) for key in keys]
    ordered = sorted(keys, key=repr)
    columns = _differences(ordered)
    shown = _chosen(columns, len(ordered))
    titles = _titles(list(columns))
    labels = []
    for index, key in enumerate(ordered):
        texts = [_part(titles[column], columns[column][index]) for column in shown]
        about = ", ".join(filter(None, texts))
        labels.append((key, f"{name} ({about})" if about else name))
    return labels


def _differences(keys: Sequence[Key]) -> dict[str, list[str | None]]:
    """List what differs among some models, as texts, in the order in which it is shown; None says nothing."""
    columns: dict[str, list[str | None]] = {}
    for place, kind in ((1, "settings"), (2, "hyperparameters")):
        known = [None if key[place] is None else json.loads(str(key[place])) for key in keys]
        for path in sorted({path for each in known if each is not None for path in each}):
            values = [None if each is None else json.dumps(each[path]) if path in each else "" for each in known]
            distinct = {value for value in values if value is not None}
            if len(distinct) > 1 and values not in columns.values():  # two that go together are shown as one
                columns[f"{kind}.{path}"] = values
    params = {key[0] for key in keys}
    if len(params) > 1:
        texts = _parameters([each for each in params if each is not None])
        columns[PARAMS.field] = ["parameters unknown" if key[0] is None else texts[key[0]] for key in keys]
    return columns


def _chosen(columns: Mapping[str, list[str | None]], models: int) -> list[str]:
    """Choose what to show of the differences: all, if they are few; else parameters, and what tells most apart."""
    if len(columns) <= _MOST_PARTS:
        return list(columns)
    chosen = [name for name in columns if name == PARAMS.field]

    def count(names: list[str]) -> int:
        return len(set(zip(*(columns[name] for name in names), strict=True))) if names else 1

    while (before := count(chosen)) < models:
        best = max(columns, key=lambda name: count([*chosen, name]))
        if count([*chosen, best]) == before:
            break
        chosen.append(best)
    return [name for name in columns if name in chosen]


def _titles(paths: Sequence[str]) -> dict[str, str]:
    """Shorten the path of each setting to its end, as far as that is no other's."""
    titles = {}
    for path in paths:
        parts = path.split(".")
        ends = (".".join(parts[-size:]) for size in range(1, len(parts) + 1))
        clashes = {end: sum(f".{other}".endswith(f".{end}") for other in paths) for end in ends}
        titles[path] = next(end for end, count in clashes.items() if count == 1 or end == path)
    return titles


def _part(title: str, value: str | None) -> str:
    if value is None or title == PARAMS.field:
        return value or ""
    if not value:
        return f"no {title}"
    found = json.loads(value)
    text = found if isinstance(found, str) else repr(found)
    text = text if len(text) <= _MOST_SIGNS else f"{text[: _MOST_SIGNS - 1]}…"
    return f"{title}={text}".encode("utf-8", "replace").decode()


def _parameters(counts: Sequence[float]) -> dict[float, str]:
    """Write numbers of parameters with three digits, or in full where these are the same."""
    short = {}
    words = {count: "parameter" if count == 1 else "parameters" for count in counts}
    for count in counts:
        scale, unit = unit_for(PARAMS, count)
        digits = three_digits(count / scale)
        digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
        short[count] = " ".join(filter(None, (digits, unit, words[count])))
    if len(set(short.values())) == len(counts):
        return short
    return {count: f"{int(count) if count.is_integer() else count:,} {words[count]}" for count in counts}


def _flatten(values: Any, path: str = "") -> dict[str, Any]:
    """Settings within settings by their path, without those that tell repeats apart."""
    if not isinstance(values, Mapping) or (path and not values):
        return {path: _plain(values)}
    found: dict[str, Any] = {}
    for name, value in values.items():
        if not _tells_repeats(str(name)):
            found |= _flatten(value, f"{path}.{name}" if path else str(name))
    return found


def _plain(value: Any) -> Any:
    """A value as JSON has it, with 1.0 as 1."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _tells_repeats(name: str) -> bool:
    """Whether a setting is a seed, or says where a run's files are: its repeats differ in it."""
    words = [word.lower() for word in _WORD.findall(name)]
    if _SEEDS.intersection(words) or {"random", "state"} <= set(words):
        return True
    if words[-2:] in (["run", "id"], ["run", "name"], ["job", "id"]) or _JOINED.intersection(words[-1:]):
        return True
    before, last = words[-2:-1], words[-1:]
    if not before or last[0] not in _FOLDERS or _INPUT.intersection(words):
        return False
    # The path of a checkpoint is most often that of weights to begin with.
    return _OUTPUT.fullmatch(before[0]) is not None and not (
        before[0] in ("checkpoint", "ckpt") and last[0] in ("path", "file")
    )


def _canonical(values: Any) -> str:
    return json.dumps({str(name): _plain(value) for name, value in values.items()}, sort_keys=True)

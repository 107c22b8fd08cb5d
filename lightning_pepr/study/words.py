"""Numbers of things, durations and outcomes of runs, in words."""

from __future__ import annotations

from lightning_pepr.record import RunRecord


def count(number: int, noun: str) -> str:
    """A number of things, in words.

    >>> count(1, "run"), count(2, "run")
    ('1 run', '2 runs')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A duration in words, no finer than it is known.

    >>> duration(8), duration(47), duration(130), duration(7500)
    ('10 s', '50 s', '2 min 10 s', '2 h 5 min')
    """
    minutes, rest = divmod(max(10, round(seconds / 10) * 10), 60)
    hours, minutes = divmod(minutes, 60)
    words = (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{rest} s" if rest else "")
    return " ".join([word for word in words if word][:2])


def outcome(title: str, record: RunRecord, measure: str = "AUROC") -> str:
    """What a run has reached and cost, or why it failed, in a line.

    >>> outcome("dla34 · seed 0", RunRecord("dla34", status="failed", error="why"))
    'dla34 · seed 0: failed: why'
    """
    if record.status != "finished":
        return f"{title}: {record.status}: {record.error.splitlines()[0] if record.error else ''}"
    parts = [] if record.performance is None else [f"test {measure} {record.performance:.3f}"]
    if record.cost.energy_kwh is not None:
        parts.append(f"{record.cost.energy_kwh * 1e3:.3g} Wh ({record.costs['energy_kwh'].quality})")
    if record.cost.time_s is not None:
        parts.append(f"{record.cost.time_s:.0f} s")
    return f"{title}: {', '.join(parts)}"

"""An examination in a process of its own, on simulated boards."""

from __future__ import annotations

from typing import Any

from tests.simnvml import SimDriver


def examine_on(sim: SimDriver, options: str = "seconds=0", before: str = "") -> dict[str, Any]:
    """The JSON of `examine(options)`, called after the lines of `before`."""
    return sim.ask(
        f"import json\nfrom lightning_pepr.doctor import examine, to_json\n{before}\n"
        f"print(json.dumps(json.loads(to_json(examine({options})))))"
    )


def words(found: dict[str, Any]) -> str:
    """All that an examination says of troubles."""
    return "\n".join(f"{trouble['what']} {trouble['do']}" for trouble in found["troubles"])

"""What is known of where a run takes place."""

from __future__ import annotations

import json
from datetime import datetime

from lightning_pepr import __version__
from lightning_pepr.utilities.environment import describe_hardware, describe_software, host_name, now, processor_name


def test_the_time_has_a_zone() -> None:
    assert datetime.fromisoformat(now()).tzinfo is not None


def test_versions_are_of_what_is_installed() -> None:
    versions = describe_software()
    assert versions["lightning-pepr"] == __version__
    assert {"python", "platform", "torch", "lightning", "torchmetrics"} <= set(versions)
    assert all(isinstance(version, str) and version for version in versions.values())


def test_hardware_is_of_plain_types() -> None:
    hardware = describe_hardware()
    assert json.loads(json.dumps(hardware)) == hardware
    assert (hardware["host"], hardware["cpu"]) == (host_name(), processor_name())
    assert hardware["cores"] > 0
    assert hardware["memory_gb"] > 0

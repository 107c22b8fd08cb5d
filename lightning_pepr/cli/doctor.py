"""`lightning-pepr doctor`: print what can be measured on this host."""

from __future__ import annotations

import argparse
import contextlib


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lightning-pepr doctor`."""
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    seconds = "how long to test GPUs under load; 0: not (%(default)g)"
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help=seconds)
    intensity = "in g CO2e per kWh, or a country such as DNK, to look it up"
    parser.add_argument("--carbon-intensity", metavar="G|COUNTRY", help=intensity)
    parser.add_argument("--pue", type=float, default=1.0, help="power usage effectiveness (%(default)g)")


def run(options: argparse.Namespace) -> int:
    """Examine this host; returns the exit status: 0, or 1 if nothing can be measured."""
    from lightning_pepr.doctor import examine, print_examination, to_json

    intensity = options.carbon_intensity
    with contextlib.suppress(TypeError, ValueError):
        intensity = float(intensity)
    found = examine(seconds=options.seconds, carbon_intensity=intensity, pue=options.pue)
    if options.json:
        print(to_json(found))
    else:
        print_examination(found)
    return 0 if found.measured else 1

"""The command line: `lightning-pepr demo | rank | audit | study | report`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lightning_pepr._version import __version__

if TYPE_CHECKING:
    import polars as pl

    from lightning_pepr.runs import Runs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 if an audit found something, or 2 if the input was wrong."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return command(options)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"lightning-pepr: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Tell a warning as a program does: without the line of code that gave it."""
    print(f"lightning-pepr: warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lightning-pepr", description="What the performance of models costs, scored as PePR = P / (1 + R)."
    )
    parser.add_argument("--version", action="version", version=f"lightning-pepr {__version__}")
    commands = parser.add_subparsers(title="commands", required=True)

    demo = commands.add_parser("demo", help="train, meter and rank some models on lung nodules, in four minutes")
    demo.add_argument("--out", type=Path, default=Path("pepr-demo"), metavar="DIR", help="where to (%(default)s)")
    demo.set_defaults(command=_demo)

    rank = commands.add_parser("rank", parents=[_runs()], help="rank runs: records, CSV tables, MLflow, W&B")
    rank.add_argument("--group", metavar="COLUMN", help="rank the runs of each value of this column apart")
    rank.add_argument(
        "--space",
        metavar="NAME_OR_FILE",
        help="a published space, such as derma_pt, or a file that ModelSpace.save wrote, instead of the runs' own",
    )
    rank.add_argument(
        "--by",
        default="energy",
        metavar="RESOURCE[,…]",
        help="energy, carbon, time, memory, data, parameters, or their letters; the first of several orders the table "
        "(%(default)s)",
    )
    rank.add_argument(
        "--baseline",
        type=float,
        metavar="P0",
        help="score (P - P0) / (1 - P0) instead of P, and show the free predictor that has P0",
    )
    rank.add_argument(
        "--at", choices=["best", "last"], default="best", help="performance of the best or the last epoch (%(default)s)"
    )
    rank.add_argument("--output", type=Path, metavar="F.csv|F.json", help="write the ranking instead of printing it")
    rank.set_defaults(command=_rank)
    _add_audit(commands)
    _add_study(commands)
    _add_report(commands)
    _add_doctor(commands)
    return parser


def _runs() -> argparse.ArgumentParser:
    """What every command takes that reads runs."""
    runs = argparse.ArgumentParser(add_help=False)
    runs.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a folder of records or of W&B's offline runs, a record, a CSV table, or mlflow:EXPERIMENT",
    )
    runs.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="OURS=THEIRS[*FACTOR]",
        help="a column of a table by its own name, such as model=arch or energy_kwh=energy_wh*0.001; may be repeated",
    )
    return runs


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser("doctor", help="what can be measured on this host, how well, and what to do about it")
    doctor.add_argument("--json", action="store_true", help="print all of it as JSON")
    doctor.add_argument(
        "--seconds", type=float, default=5.0, metavar="S", help="how long to test GPUs under load; 0: not (%(default)g)"
    )
    doctor.add_argument(
        "--carbon-intensity", metavar="G|COUNTRY", help="in g CO2e per kWh, or a country such as DNK, to look it up"
    )
    doctor.add_argument("--pue", type=float, default=1.0, help="power usage effectiveness (%(default)g)")
    doctor.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace) -> int:
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


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from lightning_pepr.cli.report import add_options

    report = commands.add_parser("report", parents=[_runs()], help="a page of runs for a browser, written or served")
    add_options(report)
    report.set_defaults(command=_report)


def _report(options: argparse.Namespace) -> int:
    from lightning_pepr.cli.report import report

    return report(options)


def _add_study(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from lightning_pepr.cli.study_options import add_options

    study = commands.add_parser("study", help="train, meter and record many models on one data set")
    add_options(study)
    study.set_defaults(command=_study)


def _study(options: argparse.Namespace) -> int:
    from lightning_pepr.cli.study import study

    return study(options)


def _add_audit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    audit = commands.add_parser(
        "audit",
        parents=[_runs()],
        help="find costs that cannot be true; exit status 1 if there are any",
        description="Find costs that cannot be true. Exit status: 0 if nothing was found, 1 if something was, 2 if the "
        "input was wrong.",
    )
    audit.add_argument(
        "--group", metavar="COLUMN", help="the column whose values are spaces of their own (group or dataset, if there)"
    )
    audit.add_argument(
        "--drop",
        type=Path,
        metavar="F.csv",
        help="write the table without the runs that are condemned, and say what that changes in the ranking",
    )
    audit.add_argument("--output", type=Path, metavar="F.csv|F.json", help="write all findings to a file, too")
    audit.set_defaults(command=_audit)


def _demo(options: argparse.Namespace) -> int:
    from lightning_pepr.study.demo import CARBON_INTENSITY, FIGURE, demo

    out: Path = options.out
    runs = demo(out)

    import polars as pl

    from lightning_pepr.ranking import rank
    from lightning_pepr.report.table import print_ranking, recommend
    from lightning_pepr.runs.load import load_runs

    table = load_runs(list(runs))
    metered = table["energy_kwh"].null_count() == 0
    ranking = rank(table, by="energy" if metered else "time")
    print_ranking(ranking, performance="test AUROC")
    if metered:
        # Chosen on validation data: the test data tell how good the choice was.
        print(recommend(ranking, rank(table.with_columns(performance=pl.col("val_performance")))))
        print(
            f"Energy is {' and '.join(sorted(set(ranking['quality'].drop_nulls())))}, ±{_uncertainty(runs):.0%}; "
            f"carbon is that at {CARBON_INTENSITY:g} g CO2e per kWh. R is normalised over these {len(table)} runs."
        )
    else:
        print(
            f"Energy could not be measured here (`lightning-pepr doctor` says why), so time ranks the models. R is "
            f"normalised over these {len(table)} runs."
        )
    print(
        "The models see outlines that radiologists drew, whose area alone tells much: they are no diagnostic models.\n"
    )
    print(f"The figure            {out / FIGURE}")
    print(f"Records               {out}/*/version_*/pepr.json")
    print(f"TensorBoard           tensorboard --logdir {out}")
    print(f"CSV logs              {out}/*/version_*/metrics.csv")
    print(f"Rank them again       lightning-pepr rank {out}")
    print(f"A page of them        lightning-pepr report {out} -o {out / 'report.html'}")
    return 0


def _uncertainty(runs: Sequence[Path]) -> float:
    """The largest relative error of the energy of some runs."""
    from lightning_pepr.record import RunRecord

    energies = [RunRecord.load(folder).costs["energy_kwh"] for folder in runs]
    return max((e.error / e.value for e in energies if e.value and e.error is not None), default=0.0)


def _rank(options: argparse.Namespace) -> int:
    from lightning_pepr.ranking import leverage, rank
    from lightning_pepr.runs.columns import parse_columns
    from lightning_pepr.runs.load import load_runs

    output: Path | None = options.output
    _check_output(output, options.paths)
    runs = load_runs(options.paths, columns=parse_columns(options.column))
    by = options.by.split(",")
    how = {"group": options.group, "by": by, "baseline": options.baseline, "at": options.at}
    ranking = rank(runs, space=options.space, **how)
    if output is None:
        from lightning_pepr.report.table import footnotes, print_ranking

        print_ranking(ranking)
        for line in footnotes(ranking, leverage(runs, **how) if options.space is None else None):
            print(line)
    elif output.suffix == ".csv":
        ranking.write_csv(output)
    else:
        ranking.write_json(output)
    return 0


def _check_output(
    output: Path | None, paths: Sequence[str], option: str = "--output", endings: tuple[str, ...] = (".csv", ".json")
) -> None:
    """Refuse to write what is no table, or over a table that is read."""
    if output is None:
        return
    if output.suffix not in endings:
        raise ValueError(f"{option} is {str(output)!r}; expected a name that ends in {' or '.join(endings)}.")
    if output.exists() and any(Path(path).exists() and output.samefile(path) for path in paths):
        raise ValueError(f"{output} is one of the tables that are read, and stays as it is; expected another name.")


def _audit(options: argparse.Namespace) -> int:
    from lightning_pepr.auditing import find
    from lightning_pepr.report.findings import print_findings
    from lightning_pepr.runs.columns import parse_columns
    from lightning_pepr.runs.load import read_runs

    output: Path | None = options.output
    drop: Path | None = options.drop
    _check_output(output, options.paths)
    _check_output(drop, options.paths, "--drop", (".csv",))
    runs = read_runs(options.paths, options.group, columns=parse_columns(options.column))
    findings = find(runs)
    print_findings(findings, runs)
    if output is not None:
        told = findings.drop("at")
        told.write_csv(output) if output.suffix == ".csv" else told.write_json(output)
    if drop is not None:
        _drop(options, runs, findings, drop)
    return 1 if len(findings) else 0


def _drop(options: argparse.Namespace, runs: Runs, findings: pl.DataFrame, out: Path) -> None:
    """Write the runs that are not condemned, and say what that changes in the ranking."""
    from lightning_pepr.auditing import rejected
    from lightning_pepr.ranking.changes import ranking_changes, write_kept
    from lightning_pepr.report.findings import print_changes

    kept = runs.filter(~rejected(runs, findings))
    write_kept(options.paths, kept, out)
    print(f"{len(kept):,} of {len(runs):,} runs are in {out}.")
    if 0 < len(kept) < len(runs):
        try:
            print_changes(ranking_changes(runs, kept))
        except ValueError as error:
            print(f"They cannot be ranked: {error}")


if __name__ == "__main__":
    sys.exit(main())

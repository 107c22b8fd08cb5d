"""The process of one run, and the one that looks models and data up: it imports torch, so that the driver need not.

It is started as `python -m lightning_pepr.study.worker`, reads its task as a line of JSON from its standard input, and
writes messages as lines of JSON to its standard output. What libraries print goes to standard error. It ends when its
standard input does, which is when the driver is gone, for whatever reason.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from lightning_pepr.study.lookup import Send, look_up, require_timm
from lightning_pepr.study.runs import Run
from lightning_pepr.study.settings import Settings
from lightning_pepr.utilities.json import convert, to_builtins


def main() -> int:
    """Do the task of standard input; returns the exit status: 0, 1 if it failed, 2 if the input was wrong."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print must not get among the messages

    def send(event: str, **values: Any) -> None:
        out.write(json.dumps(to_builtins({"event": event, **values})) + "\n")

    signal.signal(signal.SIGINT, signal.default_int_handler)  # started in the background, it would be ignored,
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # and under Ray, blocked
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    try:
        if task["task"] == "train":
            _train(task, send)
        else:
            _look_up(task, send)
    except KeyboardInterrupt:
        send("interrupted")
        return 130
    except BaseException as error:
        wrong_input = task["task"] != "train" and isinstance(error, (ValueError, OSError, ModuleNotFoundError))
        send("error", kind=type(error).__name__, text=str(error), input=wrong_input)
        if wrong_input:
            return 2
        raise  # so that the log has it
    return 0


def _end_with_the_driver() -> None:
    # Not sys.stdin, whose lock a thread that waits would hold while the interpreter ends.
    while os.read(0, 4096):
        pass
    os._exit(3)


def _look_up(task: dict[str, Any], send: Send) -> None:
    """Look models and data up, and send what was found."""
    settings = convert(task["settings"], Settings)
    models, size = look_up(settings, task["models"], task["pretrained"], task["weights"], send)
    send("found", data=size, models=models)


def _train(task: dict[str, Any], send: Send) -> None:
    """Train one run, below the folder that the task names."""
    from lightning_pepr.study.data.registry import make_data
    from lightning_pepr.study.training import train

    run = convert(task["run"], Run)
    require_timm()
    send("ready")  # all that takes long is imported
    data = make_data(run.settings, run.model.image_size, fraction=run.fraction, seed=run.seed)
    data.prepare_data()
    data.setup("fit")

    def on_progress(share: float, epoch: int, epochs: int) -> None:
        send("progress", share=share, epoch=epoch, epochs=epochs)

    train(run, data, Path(task["out"]), in_study=True, on_progress=on_progress)
    send("finished")


if __name__ == "__main__":
    sys.exit(main())

"""Which processes count as this training's."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap


def test_another_rank_is_left_to_meter_itself() -> None:
    script = textwrap.dedent("""
        import subprocess, sys, os
        from lightning_pepr.meters.processes import descendants
        def start(rank, code="input()"):
            env = {**os.environ, "LOCAL_RANK": rank} if rank else os.environ
            return subprocess.Popen([sys.executable, "-c", code], env=env, stdin=-1)
        mine, other, same = start(""), start("1"), start("0")
        pids = {p.pid for p in descendants()}
        print(os.getpid() in pids, mine.pid in pids, other.pid in pids, same.pid in pids)
        for p in (mine, other, same): p.communicate(b"\\n")
    """)
    env = {key: value for key, value in os.environ.items() if key != "LOCAL_RANK"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False", "True"]

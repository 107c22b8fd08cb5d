"""What a launcher, torchrun or SLURM, says of the ranks of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lightning_pepr.doctor.troubles import Trouble
from lightning_pepr.meters.devices import chosen_gpus

_VARIABLES = {  # of the rank, the ranks, the rank on this host, the ranks on this host
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
    "SLURM": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"),
}


@dataclass(frozen=True)
class Ranks:
    """This process among the ranks of its run, all and on this host; None is unknown, and "" is no launcher."""

    launcher: str
    rank: int | None
    ranks: int | None
    local_rank: int | None
    ranks_here: int | None
    visible_gpus: int
    cuda_visible_devices: str | None
    shared: bool
    slurm: dict[str, str]


def examine_ranks(environment: Mapping[str, str], gpus: int) -> tuple[Ranks, list[Trouble]]:
    """What the launcher says of ranks, and whether those of this host must share its boards."""
    launcher, rank, ranks, local_rank, here = _launched(environment)
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    boards = gpus if visible is None else min(gpus, len(chosen_gpus([""] * gpus, visible)))
    # With a board for each rank, chosen by the launcher, more ranks than visible boards share nothing.
    own = launcher == "SLURM" and visible is not None and "SLURM_GPUS_PER_TASK" in environment
    shared = bool(here and boards and here > boards and not own)
    troubles = []
    if shared:
        what = f"{here} ranks of this host share {boards} GPU{'s' * (boards > 1)}."
        do = "Nothing for energy: each board counts once in a run. Another run on them would count as well."
        troubles.append(Trouble(what, do))
    if launcher == "SLURM" and environment.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        what = "Lightning takes a SLURM job of this name for an interactive one, with one rank."
        troubles.append(Trouble(what, "Start with srun, or give the job another name (-J)."))
    names = ("SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_NODELIST")
    job = {name: environment[name] for name in names if name in environment}
    return Ranks(launcher, rank, ranks, local_rank, here, boards, visible, shared, job), troubles


def _launched(environment: Mapping[str, str]) -> tuple[str, int | None, int | None, int | None, int | None]:
    """The launcher, this rank, all ranks, and the same on this host."""
    for launcher, names in _VARIABLES.items():  # a rank of torchrun within a SLURM job is torchrun's
        rank, ranks, local_rank, here = (_leading_number(environment.get(name)) for name in names)
        if launcher == "SLURM" and here is None and _leading_number(environment.get("SLURM_NNODES")) == 1:
            here = ranks
        other = launcher == "torchrun" and local_rank is None and "TORCHELASTIC_RUN_ID" not in environment
        if rank is not None and ranks is not None and not other:
            return launcher, rank, ranks, local_rank, here
    return "", 0, 1, 0, 1


def _leading_number(text: str | None) -> int | None:
    """The number that a variable begins with: SLURM writes "4(x2)"."""
    found = re.match(r"\d+", text or "")
    return int(found[0]) if found else None

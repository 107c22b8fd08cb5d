#!/bin/bash
# A study as an array of jobs, one GPU each. Job i of n does every nth run, so that each run is done once.
#
#     sbatch examples/slurm.sh --models paper --data lidc --epochs 10 --seeds 3 --out runs
#     sbatch --array=0-31%8 examples/slurm.sh …       # more jobs, eight of them at a time
#
# Submit it again to go on: what is finished is skipped, also after a time limit or a node that failed.
#
#SBATCH --job-name=lightning-pepr
#SBATCH --array=0-7
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --output=slurm-%A_%a.txt

set -euo pipefail

# An array may begin at any index and have steps, as after --array=4-7: what counts is which job of how many this is.
first=${SLURM_ARRAY_TASK_MIN:-0}
last=${SLURM_ARRAY_TASK_MAX:-0}
step=${SLURM_ARRAY_TASK_STEP:-1}
shard=$(((${SLURM_ARRAY_TASK_ID:-0} - first) / step))
shards=$(((last - first) / step + 1))

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
exec lightning-pepr study "$@" --shard "$shard/$shards"

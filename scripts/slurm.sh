#!/usr/bin/env bash
# r2mae under SLURM: sbatch --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 scripts/slurm.sh pretrain RECIPE [--set ...].
# One task a device. Two minutes before the time limit every task gets USR1, saves and ends with 138: the job queues again.
#SBATCH --job-name=r2mae
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -uo pipefail
srun --kill-on-bad-exit=1 "${PYTHON:-python}" -m r2mae "$@" \
  --set "hardware.nodes=$SLURM_NNODES" --set "hardware.devices=$SLURM_NTASKS_PER_NODE"
code=$?
[ "$code" -ne 138 ] || scontrol requeue "$SLURM_JOB_ID"
exit "$code"

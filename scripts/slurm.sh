#!/usr/bin/env bash
# r2mae under SLURM, with one task per device:
#   sbatch --time=24:00:00 --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 --cpus-per-task=16 scripts/slurm.sh pretrain RECIPE
# USR1 comes two minutes before the time limit. The ranks save, and the job is queued again.
# Where saving takes longer: sbatch --signal=USR1@<seconds>, see docs/distributed.md.
# The Python is $PYTHON, or the first `python` on PATH.
#SBATCH --job-name=r2mae
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -uo pipefail

nodes=${SLURM_NNODES:-1}
per_node=${SLURM_NTASKS_PER_NODE:-}
tasks=${SLURM_NTASKS:-$((nodes * ${per_node:-1}))}
# One task on each node may mean that sbatch was given no number of tasks. srun would leave
# all GPUs but one of each node idle, so the recipe has to agree.
sizes=()
if [ "$tasks" -gt 1 ] && { [ -n "$per_node" ] || [ "$tasks" -gt "$nodes" ]; }; then
  devices=${per_node:-$((tasks / nodes))}
  sizes=(--set "hardware.nodes=$nodes" --set "hardware.devices=$devices")
fi
# srun does not inherit --cpus-per-task from sbatch.
srun --kill-on-bad-exit=1 ${SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"} \
  "${PYTHON:-python}" -m r2mae "$@" ${sizes[@]+"${sizes[@]}"}
code=$?

# Whether USR1 stopped the run of this job, by its run.json. srun's exit code does not
# show it: it is 143 when srun had to kill a rank.
stopped_by_usr1() {
  local job="$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}" usr1
  usr1=$(kill -l USR1)
  local file
  while IFS= read -r file; do
    if grep -q '"status": "interrupted"' "$file" && grep -q "\"signal\": $usr1,\?$" "$file"; then
      return 0
    fi
  done < <(grep -rlsF --include=run.json "\"slurm_job\": \"$job\"" runs)
  return 1
}
if stopped_by_usr1; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"

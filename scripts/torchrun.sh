#!/usr/bin/env bash
# r2mae on one or several machines by torchrun: scripts/torchrun.sh pretrain RECIPE [--set ...].
# Run it on every machine with the same NNODES, MASTER_ADDR, MASTER_PORT and NPROC_PER_NODE,
# and a NODE_RANK of its own. Unset: one machine with one process, and any free port.
set -euo pipefail
: "${NNODES:=1}" "${NODE_RANK:=0}" "${MASTER_ADDR:=127.0.0.1}" "${NPROC_PER_NODE:=1}"
: "${MASTER_PORT:=$((NNODES > 1 ? 29400 : 0))}" # 0: any free port
# Otherwise the store of all agents ends with the one that holds it.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
# Seconds for which torchrun waits for ranks that save after a signal (its default: 30),
# and for a node that is cut off (its default: 60).
: "${TIMEOUT_SECONDS:=1800}"
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=$TIMEOUT_SECONDS
exec "${PYTHON:-python}" -m torch.distributed.run --nnodes "$NNODES" --nproc-per-node "$NPROC_PER_NODE" \
  --rdzv-backend c10d --rdzv-endpoint "$MASTER_ADDR:$MASTER_PORT" --rdzv-id "${JOB_ID:-r2mae}" \
  --rdzv-conf "is_host=$((NODE_RANK == 0)),read_timeout=$TIMEOUT_SECONDS" ${LOCAL_ADDR:+--local-addr "$LOCAL_ADDR"} \
  --max-restarts "${MAX_RESTARTS:-3}" --signals-to-handle SIGTERM,SIGINT,SIGUSR1 \
  -m r2mae "$@" --set "hardware.nodes=$NNODES" --set "hardware.devices=$NPROC_PER_NODE"

#!/usr/bin/env bash
# What only a GPU can show, in at most 9 minutes: scripts/gpu_check.sh [--rehearse] [PART ...]
# The last line is JSON. Needs one CUDA GPU, and r2mae's dependencies in $PYTHON (python3).
# Two recipes more run where these variables name folders, by absolute paths:
# CIFAR10 (train.parquet, test.parquet) and WIKITEXT (train.txt).
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" scripts/gpu_check.py "$@"

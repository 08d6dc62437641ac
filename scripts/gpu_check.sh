#!/usr/bin/env bash
# What only a GPU can show, in at most 9 minutes: scripts/gpu_check.sh [--rehearse] [PART ...]. The last line is JSON.
# Run on a machine with one CUDA GPU, in a checkout where r2mae can be imported with its extras.
# CIFAR10 and WIKITEXT may name folders with train.parquet and test.parquet, or train.txt: those recipes are run too.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" scripts/gpu_check.py "$@"

# Two commands do everything on a fresh machine with Python >= 3.11, make and git: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test lint bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "r2mae needs Python >= 3.11, got " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	touch $(STAMP)

demo: install
	$(BIN)/r2mae demo digits_demo pbmc68k_demo topics_demo motifs_demo modular_addition_demo --fresh

# Tests that fork have a process of their own: where others have started autograd's threads, forks cannot train.
# The rest: two workers of a thread each, what a machine with two cores does fastest.
# tests/conftest.py puts slow files first; pytest-xdist must not sort them again.
FORKS := tests/faults/test_saving.py
test: install
	$(BIN)/python -m pytest $(FORKS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore=$(FORKS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	OMP_WAIT_POLICY=passive $(BIN)/python scripts/bench.py
	OMP_WAIT_POLICY=passive $(BIN)/python scripts/bench_cells.py build/bench --cells 50000
	OMP_WAIT_POLICY=passive $(BIN)/python scripts/bench_language.py
	OMP_WAIT_POLICY=passive $(BIN)/python scripts/bench_dna.py build/bench

clean:
	rm -rf $(VENV) build dist

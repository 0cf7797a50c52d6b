# One command for each thing that one does with this repository. Every target sets up what it needs.
#
#   make demo     the main job on this machine: three daemons, three replicas, one of them killed
#   make check    format, lint, types, layers, spelling, tidy tests: under a minute
#   make test     the whole suite (as root also beside real Corosync daemons)
#   make sim      the ring in the simulator, SEEDS seeds from FIRST on
#   make mutants  plant every known small bug, find the seed at which a checker notices it
#   make bench    speed beside Corosync, by hand, on a quiet machine
#   make docs     the documentation, warnings are errors, examples are run
#   make rewrite  write every generated file again
#   make all      check, docs, test
#   make clean    remove what the targets above made

VENV ?= .venv
BIN := $(VENV)/bin
SEEDS ?= 300
FIRST ?= 1
NODES ?= 0
WORKERS ?= 2
PYTEST_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=
MUTANTS ?=

export PYTHONDONTWRITEBYTECODE ?=

.PHONY: setup demo check format test sim mutants bench docs rewrite all clean
.NOTPARALLEL:

$(VENV)/.unisono-run: pyproject.toml constraints/dev.txt tools/setup.sh
	@bash tools/setup.sh run "$(VENV)"

$(VENV)/.unisono-dev: pyproject.toml constraints/dev.txt tools/setup.sh
	@bash tools/setup.sh dev "$(VENV)"

setup: $(VENV)/.unisono-dev
	@bash tools/setup.sh peers "$(VENV)"

demo: $(VENV)/.unisono-run
	@$(BIN)/unisono demo $(DEMO_ARGS)

check: $(VENV)/.unisono-dev
	@BIN="$(BIN)" bash tools/check.sh

format: $(VENV)/.unisono-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: setup
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

sim: $(VENV)/.unisono-run
	@$(BIN)/unisono-sim --seed $(FIRST) --seeds $(SEEDS) --nodes $(NODES) --jobs $(WORKERS)

mutants: $(VENV)/.unisono-dev
	@$(BIN)/python -m tests.mutants --jobs $(WORKERS) $(MUTANTS)

bench: setup
	@$(BIN)/python -m bench $(BENCH_ARGS)

docs: $(VENV)/.unisono-dev
	@BIN="$(BIN)" bash tools/docs.sh

rewrite: $(VENV)/.unisono-dev
	@BIN="$(BIN)" bash tools/rewrite.sh

all: check docs test

clean:
	rm -rf $(VENV) docs/_build build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	    .benchmarks .import_linter_cache htmlcov .coverage .coverage.*
	find src tests tools examples bench docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

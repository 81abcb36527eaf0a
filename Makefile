# Two commands matter: `make demo` and `make test`; both set up .venv first. `make help` lists the
# rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
# Processes that run tests, whole files each; one core is enough for one, and tests of clusters
# mostly wait.
WORKERS ?= 2
LOCKS := requirements/base.txt requirements/dev.txt
DOCS_LOCK := requirements/docs.txt
UV := $(shell command -v uv 2>/dev/null)
# The first interpreter that is Python 3.11 and runs; a version manager's shim may exist and still
# not run.
PYTHON ?= $(shell for p in python3.11 /usr/bin/python3.11 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1 && \
	{ command -v "$$p"; break; }; done)

ifdef UV
PIP_INSTALL = $(UV) pip install --python $(BIN)/python --quiet
else
# Bytecode is made when a module is first imported, as uv does: all packages at once take half a
# minute.
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile
endif
# Container images often set it; each process would then compile 2,000 modules again.
unexport PYTHONDONTWRITEBYTECODE

# Ends a rule that needs an interpreter.
NO_PYTHON = { echo "setup: no Python 3.11; install it (Debian, Ubuntu: apt-get install python3.11" \
	"python3.11-venv) or give one: make PYTHON=/path/to/python3.11" >&2; exit 1; }

# pyright carries its own JavaScript; ask no registry whether a newer one exists.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: bundle campaign publish help setup demo test test-all test-newest test-rest lock lint format types docs doctor cuda omnisafe \
	docs-check locks clean

help:
	@echo "make demo      set up, train a safe and an unsafe agent, draw curves, films and a report in results/demo"
	@echo "make test      set up, then run the tests that need minutes and no part of a machine (ARGS='-k planner' selects some)"
	@echo "make test-all  all tests, with rendering, Slurm, OmniSafe and a browser where they are; test-rest: those not in make test"
	@echo "make test-newest  the learner on the newest Python and JAX, environments on this one"
	@echo "make lock      train as another commit does? AGAINST=COMMIT [STRICT=1]"
	@echo "make campaign  the runs of results/campaign that are not done, JOBS=1 at a time, in the background of other work"
	@echo "make publish   what is done in results/campaign and results/release-curve as results to commit: scores, policies, figures, tables, README"
	@echo "make setup     create $(VENV) from the lock files; runs again only when they change"
	@echo "make lint      ruff: rules and formatting        make format    apply them"
	@echo "make types     pyright on agents and benchmarks  make doctor    what this machine has"
	@echo "make cuda      add the NVIDIA GPU packages       make omnisafe  add OmniSafe and torch"
	@echo "make docs      the documentation as a site in build/docs; a broken link fails"
	@echo "make docs-check  do the commands, examples, links and numbers of the documents hold"
	@echo "make bundle    write a folder that runs on GPU machines without internet"
	@echo "make locks     resolve the lock files anew       make clean     remove $(VENV) and caches"

setup: $(VENV)/.package

$(BIN)/python:
ifdef UV
	@echo "setup: creating $(VENV) with uv"
	@$(UV) venv --quiet --seed --python "$(or $(PYTHON),3.11)" $(VENV) || \
		$(NO_PYTHON)
else
	@[ -n "$(PYTHON)" ] || \
		$(NO_PYTHON)
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "setup: $(PYTHON) lacks venv; apt-get install python3.11-venv" >&2; exit 1; }
	@echo "setup: creating $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
endif

# --no-deps: the lock files are complete, and upstream pins contradict one another
# (requirements/overrides.txt).
$(VENV)/.locks: $(LOCKS) | $(BIN)/python
	@echo "setup: installing the packages of $(LOCKS); the first time this takes some minutes"
	@$(PIP_INSTALL) --no-deps $(LOCKS:%=-r %)
	@touch $@

$(VENV)/.package: pyproject.toml $(VENV)/.locks
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@$(BIN)/safedreamer demo --out results/demo $(ARGS)

# Continues after any interruption, and on a fresh clone: finished runs are committed without
# their checkpoints. One thread a run; more would wait for one another.
JOBS ?= 1
SUITES ?= campaign-circle campaign-ablation campaign-tasks campaign-vision
campaign: setup
	@OMP_NUM_THREADS=1 XLA_FLAGS="--xla_cpu_multi_thread_eigen=false" \
		sh -ec 'for suite in $(SUITES); do nice -n 19 $(BIN)/safedreamer sweep --suite $$suite \
		--out results/campaign --jobs $(JOBS) $(ARGS); done'

# Once per run its final evaluation, where the checkpoint is; all else from records (ARGS).
publish: setup
	@OMP_NUM_THREADS=1 XLA_FLAGS="--xla_cpu_multi_thread_eigen=false" \
		$(BIN)/safedreamer publish results/campaign --suites $(SUITES) $(ARGS)
	@OMP_NUM_THREADS=1 XLA_FLAGS="--xla_cpu_multi_thread_eigen=false" \
		$(BIN)/safedreamer publish results/release-curve --suites release-curve --no-zoo

# What every machine can run in minutes; the rest is in test-all, which names what it skips.
REST := slow or slurm or omnisafe or gl or browser
# XLA's older code generator for fusions compiles tests three times faster; the other two are for
# tests that learn, all others compile without any optimisation (docs/decisions/speed.md). Many
# small modules to compile in parallel cost a tenth more.
TEST_XLA = --xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1 \
	--xla_llvm_disable_expensive_passes=true --xla_cpu_parallel_codegen_split_count=1
# A test whose process dies would run again in every replacement.
PYTEST = XLA_FLAGS="$(XLA_FLAGS) $(TEST_XLA)" $(BIN)/python -m pytest \
	--numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

test: setup
	@$(PYTEST) -m "not ($(REST))" $(ARGS)

test-all: setup
	@$(PYTEST) $(ARGS)

# The learner on the newest Python, JAX, Flax and Optax, environments under $(VENV); says so where
# there is no Python 3.12.
test-newest: setup
	@ENV_PYTHON=$(CURDIR)/$(BIN)/python tests/newest.sh

test-rest: setup
	@$(PYTEST) -m "$(REST)" $(ARGS)

# STRICT=1: bit for bit, for moves and renames; else the first update within 1e-4, for speed-ups.
# ARGS='--methods osrp' selects some.
lock: setup
	@[ -n "$(AGAINST)" ] || { echo "lock: name the commit to compare with: make lock AGAINST=COMMIT [STRICT=1]" >&2; exit 2; }
	@$(BIN)/python -m tests.lock $(AGAINST) $(if $(STRICT),--strict) $(ARGS)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: setup
	@$(BIN)/pyright

$(VENV)/.docs: $(DOCS_LOCK) $(VENV)/.locks
	@$(PIP_INSTALL) --no-deps -r $(DOCS_LOCK)
	@touch $@

docs: setup $(VENV)/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build -f docs/mkdocs/mkdocs.yml
	@echo "docs: build/docs/index.html"

# What the documents say: links, command lines, examples, YAML files, extras, the claims of README.
docs-check: setup
	@$(PYTEST) tests/test_docs.py tests/test_examples.py tests/test_extras.py tests/test_community.py \
		tests/benchmarks/api tests/benchmarks/cli/test_help.py \
		tests/analysis/test_importing.py tests/analysis/test_publish.py $(ARGS)

doctor: setup
	@$(BIN)/safedreamer doctor

# Suite, packages of environments and Debian's Python 3.11, for a GPU machine without internet.
bundle: setup
	@$(BIN)/python -m benchmarks.bundle bundle

cuda: setup
	@$(PIP_INSTALL) --no-deps -r requirements/cuda.txt

# torch comes with its dependencies, since its CUDA and CPU builds need different ones; pip finds
# local CPU wheels.
omnisafe: setup
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile \
		--constraint requirements/base.txt --constraint requirements/omnisafe.txt \
		"$$(grep '^torch==' requirements/omnisafe.txt)"
	@$(PIP_INSTALL) --no-deps $$(grep -v '^torch==' requirements/omnisafe.txt)

locks:
	@requirements/compile.sh

clean:
	rm -rf $(VENV) .venv-newest .cache .pytest_cache .ruff_cache .hypothesis build dist ./*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

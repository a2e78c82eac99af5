# Two commands do all the set-up: `make demo` and `make test`.  Both need Python 3.11 or newer only;
# PYTHON names another interpreter.  DEMO_ARGS is passed on to the demo, PYTEST_ARGS to pytest,
# BENCH_ARGS to the benchmarks.  EXAMPLES is the number of random pairs that each test of
# `make nightly` draws, SEEDS that of random schedules of crashes of `make sim`, KILLS that of real
# kills.

PYTHON ?= python3
DEMO_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
EXAMPLES ?= 20000
SEEDS ?= 1000
KILLS ?= 120
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE := cep dsl matcher alerts api bench tests

.PHONY: demo test nightly sim check bench bench-check clean

demo: $(STAMP)
	$(BIN)/python -m cep.demo $(DEMO_ARGS)

test: $(STAMP)
	$(BIN)/pytest --numprocesses=auto $(PYTEST_ARGS)

# The fast matcher against the naive reference, on many random rules and streams.
nightly: $(STAMP)
	CEP_EXAMPLES=$(EXAMPLES) $(BIN)/pytest --numprocesses=auto $(PYTEST_ARGS) tests/matcher \
	-k "reference or however or alike"

# Crashes: simulated ones before and after every effect and at random, and real ones by SIGKILL.
sim: $(STAMP)
	CEP_EVERY_PLACE=1 CEP_SEEDS=$(SEEDS) CEP_KILLS=$(KILLS) $(BIN)/pytest --numprocesses=auto \
	$(PYTEST_ARGS) tests/sim tests/cep/test_sigkill.py tests/cep/test_serve_killed.py

check: $(STAMP)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/cep fmt --check rules cep/demo bench/rules
	$(BIN)/cep check rules

bench: $(STAMP)
	@$(BIN)/python -m bench $(BENCH_ARGS)

bench-check: $(STAMP)
	@$(BIN)/python -m bench.check

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/out demo-data

# The stamp is older than pyproject.toml exactly when what is installed may be out of date.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cep needs Python 3.11 or newer; \
	set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,postgres]'
	@touch $(STAMP)

# Everything here needs only make and Python 3.11 or newer; `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help perf test test-all lint docs clean
.DELETE_ON_ERROR:

help:
	@echo "make perf      measure the kernels of this repository (without a GPU: in the simulator); the page is reports/latest.html"
	@echo "make test      what CI runs: lint, types, tests, docstrings, suites, docs, the built wheel, the page in a browser"
	@echo "make test-all  the same and what takes long: GPU tests, suites in one process, the idle benchmark"
	@echo "make lint      lint and types alone"
	@echo "make docs      the site of docs/: build/docs/index.html"
	@echo "make clean     remove environments, builds and caches; reports stay"
	@echo "settings       PYTHON=$(PYTHON) VENV=$(VENV) ARGS='...' (for pytest, in make perf)"

# Built anew, not mended, when the pins or the dependencies change: what is no longer asked for must not linger.
$(STAMP): pyproject.toml $(wildcard constraints/*.txt) tools/pick_constraints.py
	@if [ -e $(VENV) ] && [ ! -e $(VENV)/pyvenv.cfg ]; then echo "$(VENV) is no virtual environment: not replaced"; exit 1; fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is Python %d.%d: 3.11 or newer is needed" % sys.version_info[:2])'
	@constraints=$$($(PYTHON) tools/pick_constraints.py) && started=$$(date +%s) \
	&& echo "installing into $(VENV) with $$constraints" \
	&& $(PYTHON) -m venv --clear $(VENV) \
	&& $(BIN)/python -m pip install -qq --constraint $$constraints hatchling editables \
	&& $(BIN)/python -m pip install -qq --constraint $$constraints --no-build-isolation --editable '.[dev]' \
	&& echo "installed in $$(($$(date +%s) - started)) s"
	@touch $@

perf: $(STAMP)
	@mkdir -p reports && touch reports/.started
	@$(BIN)/python -m pytest --gpuperf suites $(ARGS); status=$$?; \
	if [ reports/latest.html -nt reports/.started ]; then echo "page: $(CURDIR)/reports/latest.html"; \
	else echo "no page was written at reports/latest.html"; fi; \
	rm -f reports/.started; exit $$status

# Sessions that tests start write no bytecode: what is not compiled before is compiled in each of hundreds of processes.
COMPILED := pytest_gpuperf kernels suites tests tools

test: $(STAMP)
	@$(BIN)/python -m compileall -q -j 0 $(COMPILED)
	@$(BIN)/python tools/parts.py

test-all: $(STAMP)
	@$(BIN)/python -m compileall -q -j 0 $(COMPILED)
	@$(BIN)/python tools/parts.py --all

lint: $(STAMP)
	@$(BIN)/python tools/parts.py lint types

docs: $(STAMP)
	@$(BIN)/python tools/parts.py docs && echo "site: $(CURDIR)/build/docs/index.html"

clean:
	rm -rf .wheel-venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@if [ -e $(VENV)/pyvenv.cfg ]; then rm -rf $(VENV); fi
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

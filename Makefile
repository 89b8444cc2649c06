# Every target makes .venv and installs what it misses.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON3 ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
READY := $(VENV)/.ready
SYNTH := $(VENV)/.synth

MODEL ?= smollm2-135m
DESIGN ?= designs/kv260.yaml
PROMPT ?= What is the capital of France?
SWEEP ?= quick
PYTEST_ARGS ?=

CAMPAIGN_ARGS ?= --inputs 20000 --seed 1

.PHONY: help setup demo test campaign sim sim-full sweep check bench docs

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## make .venv and install Alula with its developer tools
	@$(BIN)/alula doctor

# One token in RTL: the prompt runs on torch, in the same integers, as it would take longer.
demo: export ALULA_PROGRESS := lines
demo: $(READY) ## a 135M-parameter model answers, checked against torch; then a token in RTL
	$(BIN)/alula models get $(MODEL)
	$(BIN)/alula run $(MODEL) "$(PROMPT)" --design $(DESIGN) --device model --max-new-tokens 12 --verify
	$(BIN)/alula run $(MODEL) "$(PROMPT)" --design $(DESIGN) --device rtl --max-new-tokens 2 \
		--map 'prefill:*=torch,*=accel'

# A file's benches share their builds, so a file stays in one process.
PARALLEL := -n auto --dist loadfile

test: $(READY) ## the test suite; of the gateware a unit of each room, a small model, programs
	$(PYTHON) -m pytest $(PARALLEL) -m 'not rtl' $(PYTEST_ARGS)

campaign: $(READY) ## bad files against the command line, from a seed; half an hour
	$(PYTHON) -m tests.campaign $(CAMPAIGN_ARGS)

SIMULATED := tests/gateware tests/bench tests/isa tests/model tests/fuzz tests/rtl tests/synth tests/explore tests/docs
sim: $(READY) ## gateware in Verilator: every component, small models, random programs
	$(PYTHON) -m pytest $(PARALLEL) $(SIMULATED) -m 'not slow' $(PYTEST_ARGS)

sim-full: $(READY) ## the same in full, and a whole token on kv260
	$(PYTHON) -m pytest $(PARALLEL) $(SIMULATED) $(PYTEST_ARGS)

sweep: export ALULA_PROGRESS := lines
sweep: ## a small sweep into build/sweep: Pareto front, page, CSV, Parquet
	@rm -rf build/sweep
	$(BIN)/alula sweep $(SWEEP) --out build/sweep

SITE := $(PYTHON) tools/build_docs.py

check: $(SYNTH) ## lint, types, import directions, generated text, public names, LUT levels, docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(PYTHON) tools/check_imports.py
	$(PYTHON) tools/generate.py --check
	$(PYTHON) tools/check_names.py
	ALULA_PROGRESS=lines $(PYTHON) tools/check_timing.py
	$(SITE)

bench: $(SYNTH) ## the measured promises, as JSON
	$(PYTHON) benchmarks/run.py

docs: $(READY) ## write all generated text anew, and the documentation as a site into build/docs
	$(PYTHON) tools/generate.py
	$(SITE)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON3) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.exit(sys.version_info < (3, 11) and "python3 must be 3.11 or newer, not " + v + " (make PYTHON3=python3.12 names another)")'
	@test -x $(PYTHON) || $(PYTHON3) -m venv $(VENV)
	@echo "Installing into $(VENV); the first time this takes some minutes."
	@$(BIN)/pip install --disable-pip-version-check --no-input --constraint constraints.txt \
		--editable '.[dev]' | awk '/^(Collecting|Downloading|Installing)/ {print "  " substr($$0, 1, 96); fflush()}'
	@touch $@

# Yosys and nextpnr, but for those on PATH.
$(SYNTH): $(READY)
	@if ! command -v yosys >/dev/null || ! command -v nextpnr-ecp5 >/dev/null; then \
		$(BIN)/pip install --disable-pip-version-check --no-input --quiet --constraint constraints.txt \
			--editable '.[dev,synth]'; fi
	@touch $@

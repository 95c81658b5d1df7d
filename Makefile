# Everything a person or CI runs. Needs Python 3.11 or later, make, a C++ compiler and perl.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

# What is installed: RUN for the card and the simulator, WORK for development as well.
RUN := $(VENV)/.installed-run
WORK := $(VENV)/.installed-work
$(RUN): EXTRAS := sim
$(WORK): EXTRAS := sim,dev

# A process that has run out of tests takes some of another; Verilated builds are shared by all.
PYTEST_FLAGS ?= -n 2 --dist worksteal

# Of the campaign's first round.
SEED ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test check campaign prove prove-mutants line-rate scale days sessions lifecycle lint docs bitstream timing clean
.DELETE_ON_ERROR:

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(RUN)  ## a market, a card and its orders, with a picture; then a venue and a host with them
	@$(BIN)/tickgate demo
	@$(BIN)/tickgate trade --orders 100 || test $$? -eq 2  # 2: it has said why there is no network

test: $(WORK)  ## everything CI checks: lint, and the tests, those of generated documents among them
	@$(MAKE) --no-print-directory --jobs 2 lint check

check: $(WORK)  ## the tests alone; make check PYTEST_FLAGS='-k book' for some of them
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

campaign: $(RUN)  ## ten million messages that aim at hazards, every top compared; mutated frames; flipped bits
	@$(BIN)/tickgate campaign --messages 10000000 --seed $(SEED)
	@$(BIN)/python -c 'from tickgate.sim.faults import run; run(seed=$(SEED), frames=100_000, width=4)'
	@$(BIN)/tickgate bench inject --flips 10000 --seed $(SEED)

line-rate: $(RUN)  ## ten million messages at 100 % of the line rate and beyond it
	@$(BIN)/tickgate bench line-rate --width 8 --messages 1440000
	@$(BIN)/tickgate bench line-rate --width 1 --messages 300000

scale: $(RUN)  ## the card at its three reference sizes, up to 4,096 symbols and 2 M orders, all compared
	@$(BIN)/tickgate bench scale

days: $(RUN)  ## venue, card and host: a thousand orders on a good wire, a thousand on a bad one
	@$(BIN)/tickgate trade --orders 1000 --seconds 1800 --seed $(SEED)
	@$(BIN)/tickgate trade --orders 1000 --seconds 1800 --seed $(SEED) --drop 0.05 --reorder 0.02 --duplicate 0.01

sessions: $(RUN)  ## the order session alone: random events at both widths, each compared with the model
	@$(BIN)/python -m tickgate.sim.endpoint --width 8 --events 100000 --seed $(SEED)
	@$(BIN)/python -m tickgate.sim.endpoint --width 1 --events 100000 --seed $(SEED)

lifecycle: $(WORK)  ## random lives of orders at the risk gate: 10 million events, each verdict compared
	@$(BIN)/python -m pytest -q tests/hdl/test_risk.py -k lives_of_orders --risk-events 10000000 --seed $(SEED)

prove: $(WORK)  ## prove all that docs/proofs.md claims of the gateware
	@$(BIN)/tickgate prove

prove-mutants: $(WORK)  ## plant bugs in the gateware: the proofs must catch each of them
	@$(BIN)/tickgate prove-mutants

lint: $(WORK)  ## style, import rules and types
	@$(BIN)/ruff check --quiet --output-format concise
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/lint-imports --no-logo
	@mkdir -p build/typecheck && ln -sfn ../.. build/typecheck/tickgate
	@$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(WORK)  ## write the generated documents again
	@$(BIN)/python -m tickgate.boards.kept
	@$(BIN)/python -m tickgate.sim.docs

bitstream: $(RUN)  ## build for the ECPIX-5, about an hour; keeps the report that docs quote
	@$(BIN)/tickgate build ecpix5
	@cp build/ecpix5/report.json docs/ecpix5.json

timing: $(RUN)  ## place and route the core alone at both widths, some twenty minutes; keeps the report
	@mkdir -p build
	@$(BIN)/tickgate timing --json > build/timing.json && cp build/timing.json docs/timing.json

clean:  ## remove what was made here, the virtual environment included
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "tickgate needs Python 3.11 or later: make PYTHON=name-of-it"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN) $(WORK): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tickgate [$(EXTRAS)] into $(VENV): once, some hundred megabytes."
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

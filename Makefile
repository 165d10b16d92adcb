# Everything runs in .venv, which any target makes first. Needs Python >= 3.11 with venv, and make.
PYTHON ?= python3
BIN := .venv/bin
ELEMENTS ?= Li,Na,Mg,Al,Si,Ca,Ti,V,Mn,Fe,Ni,Zn,S,O

.PHONY: help setup scan test test-slow faults coverage mutants audit lint bench clean

help:
	@echo "make scan    scan all compositions of 14 elements and list the best candidates"
	@echo "make test    run the tests; make test-slow those that take minutes"
	@echo "make faults  kill, starve and damage scans, fuzz readers, for hours; writes docs/reliability.md"
	@echo "make coverage which lines do the tests run? make mutants: do they notice small errors?"
	@echo "make audit   known vulnerabilities and licences of all packages"
	@echo "make lint    check style, types and the direction of imports"
	@echo "make bench   measure the figures of the README, against their peers"
	@echo "make setup   only make .venv; make clean removes it"

setup: .venv/.dev

# The scan needs the package alone; tests, checks and benchmarks need the tools too. Python compiles what it imports;
# pip would compile everything, for a minute.
.venv/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "matscreen needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "the venv module is missing: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable .
	@touch $@

.venv/.dev: .venv/.run
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@

scan: .venv/.run
	$(BIN)/matscreen scan "$(ELEMENTS)" --likely-first

# Numba does not notice when a function changes that a cached one calls from another file.
.venv/.kernels: $(wildcard kernels/*/*.py) | .venv/.dev
	@rm -rf .venv/numba kernels/*/__pycache__/*.nbi kernels/*/__pycache__/*.nbc
	@touch $@

# Two processes, each with whole files of tests; those of models first, which compile what both need for whole scans,
# then those that take longest, so that both end together.
test: .venv/.dev .venv/.kernels
	$(BIN)/pytest tests/models tests/faults tests/engine tests/kernels tests/test_*.py -m 'not slow' -n 2 --dist loadfile \
	    --no-loadscope-reorder --durations 10

test-slow: .venv/.dev .venv/.kernels
	$(BIN)/pytest -m slow

faults: .venv/.dev .venv/.kernels
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev,fuzz]'
	MATSCREEN_FAULTS=long $(BIN)/pytest tests/faults

.venv/.checks: .venv/.dev
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev,checks]'
	@touch $@

# Compiled kernels leave no trace: against their definitions once more, as Python.
coverage: .venv/.checks .venv/.kernels
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m 'not slow' -n 2 --dist loadfile
	NUMBA_DISABLE_JIT=1 $(BIN)/coverage run -m pytest tests/kernels/test_parity.py -W ignore
	$(BIN)/coverage combine
	$(BIN)/coverage report

mutants: .venv/.checks
	$(BIN)/python tests/mutants.py

audit: .venv/.checks
	$(BIN)/python .ci/audit.py

# The three folders as one package, for tools that read files instead of importing.
.venv/house: .venv/.run
	@mkdir -p $@/matscreen && cd $@/matscreen && ln -sfn ../../../engine ../../../kernels ../../../models .

lint: .venv/.dev .venv/house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=.venv/house $(BIN)/mypy
	PYTHONPATH=.venv/house $(BIN)/lint-imports

bench: .venv/.dev
	$(BIN)/python -m bench

clean:
	rm -rf .venv build dist *.egg-info .coverage*

# The commands of the project. Each works on a fresh machine that has Python 3.11.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check

.PHONY: demo test check bench format clean

# A stamp per set of extras: an install is repeated only when the pins or the project file change.
$(VENV)/.installed-%: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "CityBrain needs Python 3.11 or newer; set PYTHON=/path/to/python"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once) ..."
	@# What is used is compiled when it is: all of it beforehand would take half a minute more.
	@$(PIP) install --no-compile -c constraints.txt -e ".[$(EXTRAS)]"
	@$(if $(ORACLES),$(PIP) install --no-compile --no-deps -r $(ORACLES))
	@touch $@

$(VENV)/.installed-run: EXTRAS := embedded,cpu
$(VENV)/.installed-dev: EXTRAS := dev
$(VENV)/.installed-dev: ORACLES := tests/oracles.txt
$(VENV)/.installed-dev: tests/oracles.txt

demo: $(VENV)/.installed-run
	@$(BIN)/python -m services.embedded demo

# Two cores are filled by two processes that compute, each test on one core, and beside them by the one city that the
# tests named here share, which waits a good deal. In their own order: the longest files hold few tests.
CITY := tests/flow/test_city.py tests/page
test: $(VENV)/.installed-dev
	@export OMP_NUM_THREADS=1; log=$(VENV)/city.log; \
	 $(BIN)/python -m pytest $(CITY) >$$log 2>&1 & city=$$!; trap "kill $$city" INT TERM; \
	 $(BIN)/python -m pytest $(addprefix --ignore=,$(CITY)) --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder; rest=$$?; \
	 wait $$city; city=$$?; cat $$log; test $$rest -eq 0 && test $$city -eq 0

check: $(VENV)/.installed-dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest tests/benchmarks -s -o addopts="--strict-markers --import-mode=importlib" -o python_files="bench_*.py"

format: $(VENV)/.installed-dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	@rm -rf $(VENV) .citybrain

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

# First what computes, side by side, each test on one core; then, one by one, what needs the machine.
SIDE_BY_SIDE := tests/unit tests/models
test: $(VENV)/.installed-dev
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE) --numprocesses=logical --maxprocesses=4 --dist=loadfile; first=$$?; \
	 $(BIN)/python -m pytest $(addprefix --ignore=,$(SIDE_BY_SIDE)) && exit $$first

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

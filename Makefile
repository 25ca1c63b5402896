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
	@$(PIP) install -c constraints.txt -e ".[$(EXTRAS)]"
	@$(if $(ORACLES),$(PIP) install --no-deps -r $(ORACLES))
	@touch $@

$(VENV)/.installed-run: EXTRAS := embedded,cpu
$(VENV)/.installed-dev: EXTRAS := dev
$(VENV)/.installed-dev: ORACLES := tests/oracles.txt
$(VENV)/.installed-dev: tests/oracles.txt

demo: $(VENV)/.installed-run
	@$(BIN)/python -m services.embedded demo

# Unit tests first, side by side, each on one core; then, one by one, those that need the machine.
test: $(VENV)/.installed-dev
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit --numprocesses=logical --maxprocesses=4 --dist=loadfile; unit=$$?; \
	 $(BIN)/python -m pytest --ignore=tests/unit && exit $$unit

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

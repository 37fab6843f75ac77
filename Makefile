# Boarfish: `make help` prints what there is.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FAST ?=
EXIT ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test example lint stubs stubs-check browser bench faults clean-state clean

help: ## print every target with a line each
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make run FAST=1   plays a tenth of the story;  make run EXIT=1   plays it and leaves"

setup: $(STAMP) ## make .venv and install everything that requirements.lock pins

# torch carries no hash in the lock, so that the CPU build of the same version satisfies it: it is installed by itself.
$(STAMP): requirements.lock pyproject.toml protos/pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Boarfish needs Python 3.11: install it, or name it with make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed '/^torch==/d' requirements.lock > $(VENV)/requirements.hashed.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(VENV)/requirements.hashed.txt
	$(BIN)/python -m pip install --quiet "$$(grep -o '^torch==[^ ]*' requirements.lock)"
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e . -e protos
	touch $@

run: setup ## play the story on real data, then keep the services and the dashboards running
	@FAST=$(FAST) EXIT=$(EXIT) $(BIN)/python -m examples.employment

# What fails is run once more by itself: on a busy machine a browser or a process may come late. What fails twice has failed.
test: setup browser ## run the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadgroup || { \
		test $$? -eq 1 && echo "Running what failed once more, by itself" && \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

example: setup ## train an example from its data to its report: make example NAME=digits
	$(BIN)/python -m examples.train $(or $(NAME),list)

browser: ## install Chromium for the browser tests (Debian's package), where there is none
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
		echo "Installing chromium"; SUDO=$$(test "$$(id -u)" = 0 || echo sudo); \
		$$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

lint: setup ## ruff, mypy, import-linter, buf lint and buf breaking
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/generate.py --lint

stubs: setup ## regenerate the protobuf stubs
	$(BIN)/python protos/generate.py

stubs-check: setup ## fail when regenerating the stubs would change them
	$(BIN)/python protos/generate.py --check

bench: setup ## every benchmark of the README, each beside its peer (some minutes)
	$(BIN)/python -m benchmarks.ingestion
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.audit
	$(BIN)/python -m benchmarks.training

faults: setup ## the fault tests at 100 random points a service (long)
	BOARFISH_FAULT_POINTS=100 $(BIN)/python -m pytest tests/faults -n 2 --dist loadgroup --timeout 3600

clean-state: ## forget the story that was played: the next make run starts afresh
	rm -rf $${BOARFISH_HOME:-.boarfish}

clean: clean-state ## also remove .venv and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build

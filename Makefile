# Nabd's one door. Every target does its own set-up; a fresh machine needs Python 3.11 and PyPI, nothing else.
PYTHON ?= python3
BIN    := .venv/bin
STAMP  := .venv/.installed
STUBS  := .stubs/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo check format generate test test-all deploy-check systemd-score bench bench-ingest bench-bytes bench-catchup bench-start bench-dashboards bench-storm bench-wire soak lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

# uv installs the whole set in seconds where pip takes half a minute; both check every hash.
$(STAMP): requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than Python 3.11; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "setting up .venv (once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# The MicroPython stubs shadow the standard library's, so they live outside the environment.
$(STUBS): $(STAMP) requirements/stubs.txt
	@$(BIN)/uv pip install --quiet --target .stubs --python $(BIN)/python --require-hashes -r requirements/stubs.txt
	@touch $@

setup: $(STAMP) ## Install Nabd and its tools into .venv

demo: $(STAMP) ## Watch a small Berkane at dusk
	@$(BIN)/python -m nabd.demo $(ARGS)

check: $(STAMP) $(STUBS) ## Format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file mypy-firmware.ini
	$(BIN)/lint-imports --no-cache

format: $(STAMP) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(STAMP) ## Write what is generated from the kinds (the tests check it is fresh)
	$(BIN)/python -m nabd.generate

test: $(STAMP) ## The tests that need nothing but PyPI
	$(BIN)/pytest -n 3 --dist loadfile -m "not services and not slow"

test-all: $(STAMP) ## The others: those that need Mosquitto, Chromium or InfluxDB, and the slow ones
	$(BIN)/pytest -m "services or slow"

soak: $(STAMP) ## For hours: 1,000 kills, 1,000,000 readings, 1,000,000 harmed payloads; goes on where it was broken off
	$(BIN)/python -m tests.crash.soak $(ARGS)

deploy-check: $(STAMP) ## Is what docker compose needs in CITY (default ./city) there and good?
	@$(BIN)/nabd doctor --deploy $(or $(CITY),city)

systemd-score: $(STAMP) ## How far the systemd units are shut (0 is shut, 10 is open)
	@$(BIN)/python -m tests.deploy.units

bench: $(STAMP) ## Measure the way from broker to store and print the figures
	$(BIN)/python -m bench

bench-ingest: $(STAMP) ## Compare Nabd with Telegraf between Mosquitto and InfluxDB; writes docs/benchmarks.md
	$(BIN)/python -m bench.ingest_against_telegraf --page docs/benchmarks.md $(ARGS)

bench-catchup: $(STAMP) ## Measure live view and kept while a store that was away catches up (needs InfluxDB)
	$(BIN)/python -m bench.catching_up $(ARGS)

bench-start: $(STAMP) ## Measure the start after a crash with 10,000 devices and a log of 1 GB
	$(BIN)/python -m bench.starting $(ARGS)

bench-bytes: $(STAMP) ## Measure bytes a reading on the disk, raw and aggregated, in both stores
	$(BIN)/python -m bench bytes

bench-dashboards: $(STAMP) ## Measure every panel's query on thirty days of a thousand devices
	$(BIN)/python -m bench.dashboards $(ARGS)

bench-storm: $(STAMP) ## Ten thousand devices come back at once, a quarter boots, one chatters, all clocks are wrong
	$(BIN)/python -m bench.storm $(ARGS)

bench-wire: $(STAMP) ## Count the bytes a device costs on the wire in a day; writes docs/wire-cost.md
	$(BIN)/python -m bench.wire_page --page docs/wire-cost.md $(ARGS)

lock: $(STAMP) ## Resolve the dependencies anew, with hashes
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 requirements/bootstrap.in -o requirements/bootstrap.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 requirements/stubs.in -o requirements/stubs.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 pyproject.toml --group dev -o requirements/dev.txt

clean: ## Remove what the targets made (never a data folder)
	rm -rf .venv .stubs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist

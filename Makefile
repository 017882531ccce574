# Every target makes the virtual environment that it needs. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROTOS := $(shell find protos/quietus -name '*.proto' 2>/dev/null)
INPUT ?=
SECONDS ?= 10
MINUTES ?= 10
SEED ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format protos up down containers bench soak fuzz docs lock release clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14

setup: $(STAMP) ## Make .venv with everything that is locked

$(STAMP): requirements.lock requirements-dev.lock pyproject.toml protos/pyproject.toml libs/edge/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; set PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e protos -e libs/edge -e .
	@touch $@

demo: $(STAMP) ## Simulate people and show the whole road; INPUT=votes.csv replays CREMA-D instead
	$(BIN)/python -m deploy.demo $(if $(INPUT),--input $(INPUT))

# Files in the order of tests/conftest.py.
test: $(STAMP) ## Run all tests
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(STAMP) ## Check style, types, imports and contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m deploy.contracts check

format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format -w --path protos/quietus

protos: $(STAMP) ## Generate the stubs beside the protos
	$(BIN)/python -m deploy.contracts generate

up: $(STAMP) ## Start Postgres and every service on this machine
	$(BIN)/python -m deploy.local up

down: $(STAMP) ## Stop what `make up` started
	$(BIN)/python -m deploy.local down

containers: $(STAMP) ## Build the image and make the secret that compose needs
	$(BIN)/python -m deploy.container.secrets
	docker build --quiet --file deploy/Dockerfile --tag quietus:local .

bench: $(STAMP) ## Measure against references in the same run
	$(BIN)/python -m bench ingest --seconds $(SECONDS)
	$(BIN)/python -m bench fuse --seconds $(SECONDS)
	$(BIN)/python -m bench pipeline --seconds $(SECONDS)

soak: $(STAMP) ## Play random faults on ingest; MINUTES=10 is the default, SEED=... repeats a run
	$(BIN)/python -m bench soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: SECONDS = 300
fuzz: $(STAMP) ## Send ingest what nobody should send; SECONDS=300 is the default, SEED=... repeats a run
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

docs: $(STAMP) ## Write the generated pages of docs/
	$(BIN)/python -m deploy.schema

lock: $(STAMP) ## Resolve the locks anew
	$(BIN)/python -m deploy.lock

release: $(STAMP) ## Make the contracts of today the ones that may not break
	$(BIN)/python -m deploy.contracts release

clean: ## Remove everything that can be made again
	rm -rf $(VENV) .buf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis protos/build libs/edge/build build *.egg-info protos/*.egg-info libs/edge/*.egg-info

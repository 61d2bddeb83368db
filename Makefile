# ChatBot AI. `make help` lists what there is.
SHELL := /bin/bash
PY := .venv/bin/python
export PYTHONUNBUFFERED := 1
# each process of ours would compile our modules again
unexport PYTHONDONTWRITEBYTECODE
# two processes more than cores, as each often waits for others that it started
PROCESSES := $(shell n=$$(nproc); echo $$((n < 3 ? n + 2 : 4)))
PYTEST = $(PY) -m pytest -n $(PROCESSES) --no-loadscope-reorder --durations=10

.PHONY: help run unit test test-all check audit format bench lock pin-images docs clean \
	browser-test compose-test fuzz chaos clients-check setup setup-tests check-js

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Set everything up and serve http://localhost:8001 (Ctrl-C stops it)
	@scripts/setup.sh runtime
	@exec .venv/bin/chatbot-ai up

unit: setup ## The tests that need nothing but Python, in seconds
	@$(PYTEST) tests/unit tests/property tests/style tests/docs

test: setup-tests check ## Check the code and run every test without browser and containers (TESTS=path: those alone)
	@if [ -n "$(TESTS)" ]; then exec $(PY) -m pytest $(TESTS); \
	else exec $(PYTEST) -m "not (browser or compose or slow)" $(COVERAGE); fi

test-all: setup setup-tests ## The rest, after `make test`: browser, containers, fuzzing, long properties
	@exec scripts/test_all.sh

check: setup ## Format, lint, types, generated documents; JavaScript too where npm is
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy --no-error-summary
	@.venv/bin/deptry --no-ansi src
	@$(PY) scripts/generate_docs.py --check
	@if command -v npm >/dev/null || [ -n "$(CI)" ]; then $(MAKE) --no-print-directory check-js; \
	else echo "JavaScript is not checked: npm is missing" >&2; fi

check-js: ## Lint and types of the pages' JavaScript
	@scripts/check_js.sh

audit: setup ## Known vulnerabilities of the locked packages; what could not be checked is a failure too (needs PyPI itself)
	@$(PY) scripts/audit.py --strict

format: setup ## Format the code and fix what the linter can
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format --quiet .

docs: setup ## Write the generated parts of the documentation
	@$(PY) scripts/generate_docs.py

browser-test: setup setup-tests ## Run the tests of the pages in a real browser
	@$(PY) -m pytest -n 2 tests/browser

compose-test: setup ## Build, start, break and heal the Compose deployment
	@scripts/compose_test.sh

fuzz: setup ## Call every route 10,000 times with generated requests (about half an hour)
	@$(PY) scripts/fuzz_check.py $(FUZZ)

chaos: setup ## kill -9 of every part, MongoDB too, at random under load for 5 minutes (CHAOS="--seed 7")
	@$(PY) tests/support/chaos.py --seconds 300 --json logs/chaos.json $(CHAOS)

clients-check: setup setup-tests ## Let OpenAI's clients, LangChain and llm talk to http://localhost:8001 (URL=..., KEY=...)
	@$(PY) scripts/clients_check.py $(if $(URL),--url $(URL)) $(if $(KEY),--key $(KEY))

bench: setup ## Run every side-by-side comparison and write docs/performance.md
	@$(PY) -m bench

pin-images: setup ## Pin the images of Docker files by today's digests (needs Docker and the registries)
	@.venv/bin/python scripts/pin_images.py

lock: ## Write requirements/*.lock with the newest versions
	@UV=$(CURDIR)/.venv/bin/uv scripts/lock.sh

clean: ## Remove the environment and caches; models, data and logs stay
	@rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

setup:
	@scripts/setup.sh dev

setup-tests:
	@scripts/system_packages.sh

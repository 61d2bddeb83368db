# ChatBot AI. `make help` lists what there is.
SHELL := /bin/bash
PY := .venv/bin/python
export PYTHONUNBUFFERED := 1

.PHONY: help run test browser-test compose-test fuzz clients-check check audit format bench lock docs clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Set everything up and serve http://localhost:8001 (Ctrl-C stops it)
	@scripts/setup.sh runtime
	@exec .venv/bin/chatbot-ai up

test: check ## Set everything up, check the code and run every test
	@scripts/system_packages.sh
	@if [ -n "$(TESTS)" ]; then exec $(PY) -m pytest $(TESTS); else exec scripts/run_tests.sh; fi

check: ## Format, lint, types, generated documents, known vulnerabilities
	@scripts/setup.sh dev
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy --no-error-summary
	@$(PY) scripts/generate_docs.py --check
	@$(PY) scripts/audit.py

audit: ## The last part of check, strictly: what could not be checked is a failure too (needs PyPI itself)
	@scripts/setup.sh dev
	@$(PY) scripts/audit.py --strict

format: ## Format the code and mend what the linter can
	@scripts/setup.sh dev
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format --quiet .

docs: ## Write the generated parts of the documentation anew
	@scripts/setup.sh dev
	@$(PY) scripts/generate_docs.py

browser-test: ## Run the tests of the chat page and the dashboard in a real browser
	@scripts/setup.sh dev
	@scripts/system_packages.sh
	@$(PY) -m pytest tests/browser --ignore=tests/browser/test_dashboard.py && $(PY) -m pytest tests/browser/test_dashboard.py

fuzz: ## Call every route 10,000 times with calls that nobody thought of (about half an hour)
	@scripts/setup.sh dev
	@$(PY) scripts/fuzz_check.py $(FUZZ)

chaos: ## kill -9 of every part, MongoDB too, at random under load for 5 minutes (CHAOS="--seed 7")
	@scripts/setup.sh dev
	@$(PY) tests/e2e/chaos.py --seconds 300 --json logs/chaos.json $(CHAOS)

clients-check: ## Let OpenAI's clients, LangChain and llm talk to http://localhost:8001 (URL=..., KEY=...)
	@scripts/setup.sh dev
	@scripts/system_packages.sh
	@$(PY) scripts/clients_check.py $(if $(URL),--url $(URL)) $(if $(KEY),--key $(KEY))

compose-test: ## Build, start, break and heal the Compose deployment
	@scripts/setup.sh dev
	@scripts/compose_test.sh

bench: ## Run every side-by-side comparison and write docs/performance.md
	@scripts/setup.sh dev
	@$(PY) -m bench

lock: ## Write requirements/*.lock anew
	@UV=$(CURDIR)/.venv/bin/uv scripts/lock.sh

clean: ## Remove the environment and caches; models, data and logs stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

# `make` alone lists what there is. Everything runs in .venv, which `make setup` makes and every target asks for.
PYTHON ?= python3
ARGS ?=
JOBS ?= 4
BIN := .venv/bin

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo serve test soak check lint types bench mutants docs screenshots requirements programs
unexport PYTHONPATH PYTHONHOME

help: ## list these targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1 — \2/p' Makefile | awk -F ' — ' '{printf "%-22s %s\n", $$1, $$2}'
	@echo 'Options: PYTHON=python3.12 (which Python), ARGS="-k name" (for test, soak, demo, serve), JOBS=0 (tests one after the other)'

setup: ## create .venv and install the pinned dependencies, if missing
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'loadbell: there is no $(PYTHON) here.'; \
	  echo 'Install Python 3.11 or later (Debian: apt-get install python3 python3-venv), or name one: make $@ PYTHON=…'; \
	  exit 1; }
	@$(PYTHON) requirements/install.py

demo: setup ## see it work: a real load test notifies Slack, HipChat and a WebHook (half a minute; ARGS=--keep keeps the server running)
	@$(BIN)/loadbell demo $(ARGS)

serve: setup ## run the server on http://127.0.0.1:8025
	@$(BIN)/loadbell serve $(ARGS)

test: setup programs ## run the tests on SQLite and on a real PostgreSQL
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

soak: setup programs ## run the long versions of the tests
	@$(BIN)/python -m pytest -m 'soak or hypothesis' --hypothesis-profile=soak --timeout=7200 $(ARGS)

check: lint types test ## everything that CI checks: lint, types, import contracts, tests

lint: setup ## check style, format, import contracts, and that the pins match pyproject.toml
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python requirements/pin.py --check

types: setup ## mypy --strict
	@$(BIN)/mypy src tests requirements $(wildcard benchmarks/*.py)

bench: setup programs ## run everything in benchmarks/
	@ran=; for file in benchmarks/*.py; do \
	  [ -f "$$file" ] && [ "$$file" != benchmarks/__init__.py ] || continue; ran=1; echo "== $$file"; $(BIN)/python -m "benchmarks.$$(basename "$$file" .py)" $(ARGS) || exit 1; \
	done; [ -n "$$ran" ] || echo 'make bench: there are no benchmarks yet.'

mutants: setup ## change the code that holds promises, one place at a time, and list what no test notices (hours; ARGS='loadbell.domain.retry.*': only there)
	@$(BIN)/mutmut run $(ARGS)
	@$(BIN)/mutmut results

docs: setup ## update the generated parts of docs/channels.md
	@$(BIN)/python -m tests.support.pages

screenshots: setup programs ## take a screenshot of every page, 1280 and 390 px, light and dark, in screenshots/ (ARGS="runs login": only these)
	@$(BIN)/python -m tests.browser.screenshots $(ARGS)

requirements: setup ## update the pins from pyproject.toml (ARGS=--upgrade takes the newest versions; needs Python 3.11)
	@$(BIN)/python requirements/pin.py $(ARGS)

programs: setup
	@$(BIN)/python -m tests.support.programs

# 春水 Chunshui. `make` prints what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
override HERE := $(dir $(realpath $(lastword $(MAKEFILE_LIST))))
PYTHON ?= python3
BIN := $(HERE).venv/bin
MEMBERS ?= 3000
DEMO ?=
# Most of a test's time is waiting: more processes than cores.
TEST_PROCESSES ?= 3

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(HERE)Makefile | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## virtual environment, locked dependencies, front end
	@$(HERE)deploy/setup.sh runtime

demo: setup ## the founding day with synthetic members: MEMBERS=3000, DEMO="--lan"
	@cd $(HERE) && exec $(BIN)/chunshui demo --members $(MEMBERS) $(DEMO)

test-setup:
	@$(HERE)deploy/setup.sh dev

test: test-setup ## every test, browser tests included
	@cd $(HERE) && $(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
	@cd $(HERE)web && PATH="$$($(HERE)deploy/node.sh):$$PATH" npm test

lint: test-setup ## style and types, of the front end too
	@cd $(HERE) && $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@cd $(HERE)web && PATH="$$($(HERE)deploy/node.sh):$$PATH" npm run check

bench: test-setup ## measure against the peers; writes docs/benchmarks.*
	@cd $(HERE) && $(BIN)/python -m bench

bench-150k: test-setup ## the founding day whole with 150,000 members, faults included; writes docs/benchmarks.*
	@cd $(HERE) && $(BIN)/python -m bench day

soak: test-setup ## 20,000 members come and go for ten minutes; writes docs/benchmarks.*
	@cd $(HERE) && $(BIN)/python -m bench soak

bench-1m: test-setup ## a million members at once, or as many as the machine holds; writes docs/benchmarks.*
	@cd $(HERE) && $(BIN)/python -m bench million

lock: ## renew the lock files (needs uv)
	@cd $(HERE) && $(HERE)deploy/lock.sh

clean: ## forget everything that was made here, data included
	@rm -rf $(HERE).venv $(HERE).chunshui $(HERE)web/node_modules $(HERE)bench/peers/node_modules $(HERE)service/static

.PHONY: help setup demo test-setup test lint bench bench-150k bench-1m soak lock clean

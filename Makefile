# 春水 Chunshui. `make` prints what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
override HERE := $(dir $(realpath $(lastword $(MAKEFILE_LIST))))
PYTHON ?= python3
BIN := $(HERE).venv/bin
MEMBERS ?= 3000
DEMO ?=
COMPILED := fast_paths gateway gateway_faults gateway_fuzz gateway_guards gateway_limits gateway_metrics gateway_process \
  gateway_rules installation_faults js_client peer_faults presence presence_laws protocol protocol_frames shards sockets stays
# Most of a test's time is waiting: more processes than cores.
PYTEST := $(BIN)/pytest --numprocesses $(or $(TEST_PROCESSES),3) --dist loadfile --no-loadscope-reorder

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(HERE)Makefile | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: ## virtual environment, locked dependencies, front end
	@$(HERE)deploy/setup.sh runtime

demo: setup ## the founding day with synthetic members: MEMBERS=3000, DEMO="--lan"
	@cd $(HERE) && exec $(BIN)/chunshui demo --members $(MEMBERS) $(DEMO)

test-setup:
	@$(HERE)deploy/setup.sh dev

compile: ## compile the gateway, for a fifth to a quarter more joins per core; needs a C compiler
	@$(HERE)deploy/setup.sh compile
	@cd $(HERE) && $(BIN)/python -c "from service import compiled; compiled.make()"

test: test-setup ## every test, browser tests included
	@cd $(HERE) && CHUNSHUI_PURE=1 $(PYTEST)
	@cd $(HERE)web && PATH="$$($(HERE)deploy/node.sh):$$PATH" npm test

test-openapi: test-setup ## many more calls of every operation of the OpenAPI document
	@cd $(HERE) && OPENAPI_EXAMPLES=$(or $(OPENAPI_EXAMPLES),100) $(BIN)/pytest --timeout 3600 tests/test_openapi_fuzz.py

test-compiled: test-setup compile ## the gateway's tests again, on its compiled form
	@cd $(HERE) && $(PYTEST) tests/test_compiled.py tests/test_tokens.py \
	  $(addprefix tests/live/test_,$(addsuffix .py,$(COMPILED)))

lint: test-setup ## style and types, of the front end too
	@cd $(HERE) && $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@cd $(HERE)web && PATH="$$($(HERE)deploy/node.sh):$$PATH" npm run check

bench: test-setup compile ## measure against the peers; writes docs/benchmarks.*
	@cd $(HERE) && $(BIN)/python -m bench

bench-registers: test-setup ## the tree at 150,000 branches, the roster of 150,000 people; writes docs/benchmarks.*
	@cd $(HERE) && $(BIN)/python -m bench registers

bench-checkins: test-setup compile ## 150,000 check in over sockets at once, and all other rows of check-ins; writes docs/benchmarks.*
	@cd $(HERE) && $(BIN)/python -m bench checkins

bench-150k: test-setup compile ## the founding day whole with 150,000 members, faults included; writes docs/benchmarks.*
	@cd $(HERE) && $(BIN)/python -m bench day

bench-deliveries: test-setup ## deliveries a second; 150,000 with errors, one of two workers killed; writes docs/benchmarks.*
	@cd $(HERE) && $(BIN)/python -m bench deliveries

soak: test-setup compile ## 20,000 members come and go for ten minutes; writes docs/benchmarks.*
	@cd $(HERE) && $(BIN)/python -m bench soak

bench-1m: test-setup compile ## a million members at once, or as many as the machine holds; writes docs/benchmarks.*
	@cd $(HERE) && $(BIN)/python -m bench million

lock: ## renew the lock files (needs uv)
	@cd $(HERE) && $(HERE)deploy/lock.sh

clean: ## forget everything that was made here, data included
	@rm -rf $(HERE).venv $(HERE).chunshui $(HERE)web/node_modules $(HERE)bench/peers/node_modules $(HERE)service/static

.PHONY: help setup demo test-setup compile test test-openapi test-compiled lint bench bench-checkins bench-deliveries bench-registers bench-150k bench-1m soak lock clean

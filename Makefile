# `make demo` shows leasehold at work; `make test` runs all checks.
# Needs Rust (rustup installs the toolchain that Cargo.toml requires). The tests and the benchmark also need Go.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test check-fmt lint docs unit controlplane bench binary soak chaos clean tools tools-go image page chart chart-schema cluster cluster-down cluster-check model fuzz mutations mutants e2e package deny minimal semver

CARGO ?= cargo
# Feature sets of the library that must each build and pass clippy without the others.
FEATURES := "--no-default-features" "--no-default-features --features etcd" "" "--all-features"
# Resets all signals to their default action. Under nohup, and in the background of a script, some signals are ignored,
# and every child inherits that: programs under test would rightly ignore them too, and tests of signals would fail.
DEFAULT_SIGNALS := $(shell env --default-signal true 2>/dev/null && echo env --default-signal)
# Most tests wait for something most of the time: for a server, a time to live, or the end of a process.
TEST_THREADS := $(shell expr 2 \* $$(getconf _NPROCESSORS_ONLN))
say = @printf '\n== %s\n' "$(1)"

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: tools ## See it at work without a cluster, in under 15 seconds once built
	@$(CARGO) run --locked --package leasehold-demo

test: tools tools-go check-fmt lint docs unit chart ## Run all checks: formatting, lints, docs, tests on a real API server, the chart
	$(call say,all passed)

check-fmt: tools
	$(call say,formatting)
	@$(CARGO) fmt --all --check

lint: tools
	@for features in $(FEATURES); do \
		printf '\n== clippy %s\n' "$${features:-(default features)}"; \
		$(CARGO) clippy --locked --package leasehold --all-targets $$features -- -D warnings || exit 1; \
	done
	@$(CARGO) clippy --locked --workspace --exclude leasehold --all-targets -- -D warnings

docs: tools
	$(call say,documentation)
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --all-features

unit: tools tools-go
	@tests/controlplane/build.sh
	$(call say,tests (unit$(comma) simulation$(comma) embedded$(comma) scripted and real API server$(comma) examples$(comma) doctests))
	@RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$(TEST_THREADS)} $(DEFAULT_SIGNALS) $(CARGO) test --locked --workspace --all-features

controlplane: tools tools-go ## Start a real kube-apiserver to play with, on an etcd of its own: prints the KUBECONFIG line, runs until Ctrl-C
	@tests/controlplane/build.sh
	@$(CARGO) test --locked --package leasehold --test controlplane

image: tools ## Build the container image target/image/leasehold.tar, without a container engine
	@image/build.sh

chart: tools ## Check the Helm chart: lint it, compare its schema with the program's options, test its templates
	$(call say,chart)
	@helm=$$(tests/cluster/helm.sh) && \
		$$helm lint --strict --quiet charts/leasehold && \
		$(CARGO) test --no-run --locked --package leasehold-cli --bin leasehold && \
		$(CARGO) test --quiet --locked --package leasehold-cli --bin leasehold chart && \
		$(CARGO) test --no-run --locked --package leasehold --all-features --test chart && \
		HELM=$$helm $(CARGO) test --quiet --locked --package leasehold --all-features --test chart -- --ignored

chart-schema: tools ## Write charts/leasehold/values.schema.json again, from the program's options
	@$(CARGO) test --no-run --locked --package leasehold-cli --bin leasehold
	@LEASEHOLD_WRITE_SCHEMA=1 $(CARGO) test --quiet --locked --package leasehold-cli --bin leasehold chart

page: tools ## Test the page of the demonstration in a headless browser: mouse, keyboard, narrow screen
	@for tool in chromium chromedriver; do \
		command -v $$tool >/dev/null || { \
			echo "make: $$tool is missing. On Debian: apt-get install --no-install-recommends chromium chromium-driver" >&2; exit 1; }; \
	done
	@$(CARGO) test --no-run --locked --package leasehold-cli --test page
	@$(CARGO) test --quiet --locked --package leasehold-cli --test page -- --ignored --test-threads 2

cluster: ## Start a one-node cluster, and print the KUBECONFIG line. Without kind: needs root, installs apt packages; first build 10 to 30 minutes
	@tests/cluster/up.sh

cluster-down: ## Stop that cluster and remove everything it left
	@tests/cluster/down.sh

cluster-check: ## Start and stop a cluster twice, and check that this machine is as before
	@tests/cluster/check.sh

e2e: tools ## Test the image and the chart on a cluster that is started for it; TESTS=name selects tests
	@tests/cluster/e2e.sh $(TESTS)

bench: tools tools-go ## Measure a release build on a real API server: half an hour; PART=name selects a part
	@tests/controlplane/build.sh
	@tests/build.sh peers "half a minute"
	@$(CARGO) build --locked --release --package leasehold --example player
	@$(CARGO) build --locked --release --package leasehold-cli
	@$(CARGO) bench --no-run --locked --package leasehold --features etcd --bench kubernetes
	@$(CARGO) bench --quiet --locked --package leasehold --features etcd --bench kubernetes -- $(PART)

binary: tools ## Build the program as one static file for any Linux, target/leasehold
	@.ci/binary

soak: tools ## Simulate HOURS hours (100) of a cluster with faults, for MINUTES at most; every third run uses sessions
	@$(CARGO) test --no-run --release --locked -p leasehold-simulation --test simulation
	@LEASEHOLD_HOURS=$(or $(HOURS),100) $(if $(MINUTES),LEASEHOLD_MINUTES=$(MINUTES)) $(CARGO) test --quiet --release --locked -p leasehold-simulation --test simulation soak -- --ignored --nocapture

chaos: tools tools-go ## Inject random faults into six processes on a real API server for MINUTES minutes (10)
	@tests/controlplane/build.sh
	@$(CARGO) test --no-run --locked --all-features --test chaos
	@LEASEHOLD_MINUTES=$(or $(MINUTES),10) LEASEHOLD_BROKEN=$(BROKEN) LEASEHOLD_SEED=$(SEED) \
		$(DEFAULT_SIGNALS) $(CARGO) test --quiet --locked --all-features --test chaos minutes -- --exact --ignored --nocapture

model: tools ## Visit every state that two contenders, or two or three sessions, can reach, within bounds: ten minutes, 4 GB
	@$(CARGO) --config 'profile.dev.package.leasehold.opt-level=3' test --no-run --locked --package leasehold --no-default-features --lib
	@$(CARGO) --config 'profile.dev.package.leasehold.opt-level=3' test --quiet --locked --package leasehold --no-default-features --lib no_interleaving_violates_a_rule_within_larger_bounds -- --ignored --nocapture --test-threads 1

fuzz: ## Feed random input to the codec of Leases for SECONDS seconds (60); needs a nightly Rust
	@command -v cargo-fuzz >/dev/null || { echo "make: cargo-fuzz is missing: cargo install --locked cargo-fuzz@0.13.2" >&2; exit 1; }
	@mkdir -p fuzz/corpus/codec
	@cargo +nightly fuzz run --sanitizer none codec fuzz/corpus/codec fuzz/seeds/codec -- -max_total_time=$(or $(SECONDS),60) -dict=fuzz/codec.dict

mutations: tools tools-go ## Make the known mistakes, one at a time, and expect the named test to fail; ONLY=word selects patches
	@tests/controlplane/build.sh
	@tests/mutations/run.sh $(ONLY)

mutants: ## Change the protocol in many small ways, and list the changes that no test notices: hours
	@command -v cargo-mutants >/dev/null || { echo "make: cargo-mutants is missing: cargo install --locked cargo-mutants@27.1.0" >&2; exit 1; }
	@cargo mutants --output target

package: tools ## Check that crates.io and docs.rs can build the packages, and that no link in the documentation is dead
	@.ci/package

deny: ## Check licenses, advisories, duplicates and sources of the dependencies; offline: CHECKS="licenses bans sources"
	@command -v cargo-deny >/dev/null || { echo "make: cargo-deny is missing: cargo install --locked cargo-deny@0.20.2" >&2; exit 1; }
	@cargo deny --locked check $(CHECKS)

minimal: ## Build with the oldest direct dependencies that Cargo.toml allows; needs a nightly Rust
	@.ci/minimal

semver: ## Compare the public API with the newest release on crates.io
	@command -v cargo-semver-checks >/dev/null || { echo "make: cargo-semver-checks is missing: cargo install --locked cargo-semver-checks@0.51.0" >&2; exit 1; }
	@.ci/semver

clean: ## Remove everything that was built
	@$(CARGO) clean

tools:
	@for tool in cargo rustfmt clippy-driver; do \
		command -v $$tool >/dev/null || { \
			echo "make: $$tool is missing. Install Rust with rustup, with its components rustfmt and clippy." >&2; exit 1; }; \
	done

tools-go:
	@if [ -z "$$KUBEBUILDER_ASSETS$$LEASEHOLD_TEST_KUBECONFIG" ] && ! command -v go >/dev/null; then \
		echo "make: go is missing: the tests build a real kube-apiserver with it. Install Go $$(sed -n 's/^go //p' tests/go.mod) or newer, or set" >&2; \
		echo "      KUBEBUILDER_ASSETS (a directory with etcd and kube-apiserver) or LEASEHOLD_TEST_KUBECONFIG (any cluster)." >&2; exit 1; \
	fi

comma := ,

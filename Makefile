# Two commands for newcomers: `make demo` shows it at work, `make test` proves it.
# Needs Rust (rustup brings the toolchain that Cargo.toml asks for) and, for the tests and the benchmark, Go.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test check-fmt lint docs unit controlplane bench binary soak chaos clean tools tools-go image page chart chart-schema cluster cluster-down cluster-check model fuzz mutants e2e

CARGO ?= cargo
# Feature sets of the library that must each build without the others.
FEATURES := "--no-default-features" "" "--all-features"
# Where signals are ignored from the outset, under nohup or in the background of a script, programs under test would
# ignore them too, as they should: the tests begin with none ignored.
HEEDING := $(shell env --default-signal true 2>/dev/null && echo env --default-signal)
say = @printf '\n== %s\n' "$(1)"

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: tools ## See it at work, without a cluster: under 15 seconds once built
	@$(CARGO) run --quiet --locked --package leasehold-demo

test: tools tools-go check-fmt lint docs unit chart ## Everything that must hold: formatting, lints, docs, tests on a real API server, the chart
	$(call say,all passed)

check-fmt: tools
	$(call say,formatting)
	@$(CARGO) fmt --all --check

lint: tools
	@for features in $(FEATURES); do \
		printf '\n== clippy %s\n' "$${features:-(default features)}"; \
		$(CARGO) clippy --quiet --locked --package leasehold --all-targets $$features -- -D warnings || exit 1; \
	done
	$(call say,clippy of the program, the demonstration and the support of tests)
	@$(CARGO) clippy --quiet --locked --package leasehold-cli --package leasehold-demo --package leasehold-test-support --all-targets -- -D warnings

docs: tools
	$(call say,documentation)
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --locked --no-deps --all-features

unit: tools tools-go
	@tests/controlplane/build.sh
	$(call say,tests (unit$(comma) simulation$(comma) embedded$(comma) scripted and real API server$(comma) examples$(comma) doctests))
	@$(HEEDING) $(CARGO) test --locked --workspace --all-features

controlplane: tools tools-go ## A real etcd and kube-apiserver to play with: prints the KUBECONFIG line, runs until Ctrl-C
	@tests/controlplane/build.sh
	@$(CARGO) test --quiet --locked --package leasehold --test controlplane

image: tools ## The program as a container image, target/image/leasehold.tar: no container engine needed
	@image/build.sh

chart: tools ## The Helm chart: linted, its schema as the program's options say, its templates tested
	$(call say,chart)
	@helm=$$(tests/cluster/helm.sh) && \
		$$helm lint --strict --quiet charts/leasehold && \
		$(CARGO) test --quiet --locked --package leasehold-cli --bin leasehold chart && \
		HELM=$$helm $(CARGO) test --quiet --locked --package leasehold --all-features --test chart -- --ignored

chart-schema: tools ## Write charts/leasehold/values.schema.json anew, of the program's options
	@LEASEHOLD_WRITE_SCHEMA=1 $(CARGO) test --quiet --locked --package leasehold-cli --bin leasehold chart

page: tools ## The page of the demonstration in a real browser, headless: by mouse, by keyboard, on a phone
	@for tool in chromium chromedriver; do \
		command -v $$tool >/dev/null || { \
			echo "make: $$tool is missing. On Debian: apt-get install --no-install-recommends chromium chromium-driver" >&2; exit 1; }; \
	done
	@$(CARGO) test --quiet --locked --package leasehold-cli --test page -- --ignored --test-threads 2

cluster: ## A whole cluster to play with, of kind or of this machine's own parts: prints the KUBECONFIG line
	@tests/cluster/up.sh

cluster-down: ## End that cluster; nothing is left of it
	@tests/cluster/down.sh

cluster-check: ## Bring one up and down twice: this machine is as before
	@tests/cluster/check.sh

e2e: tools ## Test the image and the chart on a whole cluster, brought up for it and taken down
	@tests/cluster/e2e.sh $(TESTS)

bench: tools tools-go ## Measure on a real API server, release build: takes about ten minutes
	@tests/controlplane/build.sh
	@$(CARGO) build --quiet --locked --release --package leasehold --example player
	@$(CARGO) build --quiet --locked --release --package leasehold-cli
	@$(CARGO) bench --quiet --locked --package leasehold --bench kubernetes

binary: tools ## Build target/leasehold: the program in one file, linked statically, for any Linux
	@.ci/binary

soak: tools ## Simulate HOURS hours (100) of a cluster's life in which everything goes wrong
	@LEASEHOLD_HOURS=$(or $(HOURS),100) $(CARGO) test --quiet --release --locked --all-features --test simulation soak -- --ignored --nocapture

chaos: tools tools-go ## Five processes on a real API server, and faults at random, for MINUTES minutes (10)
	@tests/controlplane/build.sh
	@LEASEHOLD_MINUTES=$(or $(MINUTES),10) LEASEHOLD_BROKEN=$(BROKEN) LEASEHOLD_SEED=$(SEED) \
		$(HEEDING) $(CARGO) test --quiet --locked --all-features --test chaos minutes -- --exact --ignored --nocapture

model: tools ## Look at every state that two contenders can get into, within bounds: two minutes, 4 GB
	@$(CARGO) --config 'profile.dev.package.leasehold.opt-level=3' test --quiet --locked --package leasehold --no-default-features --lib engine::model -- --ignored --nocapture

fuzz: ## Feed the Lease codec at random for SECONDS seconds (60); needs a nightly Rust
	@command -v cargo-fuzz >/dev/null || { echo "make: cargo-fuzz is missing: cargo install --locked cargo-fuzz@0.13.2" >&2; exit 1; }
	@mkdir -p fuzz/corpus/codec
	@cargo +nightly fuzz run --sanitizer none codec fuzz/corpus/codec fuzz/seeds/codec -- -max_total_time=$(or $(SECONDS),60) -dict=fuzz/codec.dict

mutants: ## Change the engine in every small way, and see which changes no test notices: hours
	@command -v cargo-mutants >/dev/null || { echo "make: cargo-mutants is missing: cargo install --locked cargo-mutants@27.1.0" >&2; exit 1; }
	@cargo mutants --output target

clean: ## Remove what was built
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

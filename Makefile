# What people do with a checkout. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help quickstart test bench docs install lint

CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/terraform-provider-dr

# A build server throws the checkout away and keeps the cache: what is compiled goes there. It may be deleted at any time.
ifdef CI
export CARGO_TARGET_DIR ?= $(CACHE)/target
endif
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),$(CURDIR)/target)

help: ## List what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

quickstart: ## Watch a backup, a loss and a recovery go through a real apply, in a scratch folder
	cargo build --locked --release -p terraform-provider-dr
	cargo run --locked --release -p acceptance-tests --bin quickstart -- --provider $(TARGET)/release/terraform-provider-dr

# Most of the time a test waits for a server or for a controller's next look: two of them share a processor.
test: ## Run every test there is, after getting what they need and the machine lacks
	cargo run --locked --quiet -p parts --bin part -- tofu restic minio tfplugindocs time etcd kube-apiserver kube-controller-manager velero velero-plugin-for-aws volsync k8up port-forward
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((2 * $$(getconf _NPROCESSORS_ONLN)))} \
		cargo test --locked --workspace --features terraform-provider-dr/toy --no-fail-fast

bench: ## Measure time and memory beside restic and the providers in DR_BENCH_PEERS (name=path, …)
	cargo build --locked --release -p terraform-provider-dr
	cargo run --locked --release --quiet -p acceptance-tests --bin bench -- --provider $(TARGET)/release/terraform-provider-dr

docs: ## Write the registry pages anew, from the code and the examples
	cargo run --locked --quiet -p acceptance-tests --bin docs

install: ## Put the provider where tofu and terraform find it, and print the lines to add
	cargo build --locked --release -p terraform-provider-dr
	cargo run --locked --release --quiet -p acceptance-tests --bin install -- --provider $(TARGET)/release/terraform-provider-dr

lint: ## Format, clippy, dependency policy, documentation
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	.ci/deny
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

# The two commands a newcomer needs are `make demo` and `make test`; both do their own set-up on
# Debian 12 with Rust, Node 20 and git (root or sudo installs the packages that are missing).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# `make demo ARGS='--speed 60'`, `make crash KILLS=500`, `make bench ARGS='--runs 1'`
ARGS ?=
KILLS ?= 200

.PHONY: help
help: ## Says what each command is for.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.PHONY: demo
demo: build ## Starts Postroad beside a simulated internet on loopback; Ctrl-C ends it.
	exec target/release/postroad demo $(ARGS)

.PHONY: build
build: toolchain panel ## Builds the release binary, target/release/postroad, with the panel in it.
	cargo build --release --locked

.PHONY: panel
panel: ## Builds the panel (web/) into web/dist, which the next build of the binary embeds.
	scripts/panel

.PHONY: screenshots
screenshots: toolchain panel ## Draws each page of the panel, wide and narrow, light and dark.
	scripts/packages chromium
	cargo build --locked
	cd web && SHOTS=$${SHOTS:-shots} npm run --silent browser -- shots

.PHONY: test
test: toolchain ## Runs every test on SQLite and PostgreSQL, with real clients and receivers.
	scripts/test $(ARGS)

.PHONY: nightly
nightly: toolchain ## Runs the long forms too: hours of crashes, floods and fuzzing.
	scripts/test --nightly $(ARGS)

.PHONY: crash
crash: toolchain ## Kills the daemon KILLS times while mail flows; counts the lost and doubled.
	scripts/test --crash $(KILLS)

.PHONY: lint
lint: toolchain ## Checks format, clippy's warnings and the licences of all dependencies.
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	scripts/licences
	node web/tools/licences.mjs

.PHONY: bench
bench: build ## Measures this machine: the relay beside Postfix (needs root).
	benches/relay $(ARGS)

.PHONY: toolchain
toolchain:
	@scripts/toolchain

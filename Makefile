# loopgate. `make help` lists the targets.

CARGO  ?= cargo
# Where `install` puts things; DESTDIR is for packages.
PREFIX ?= /usr/local
# The port that `run` serves.
PORT   ?= 18789

BINS ?= target/release
RUN  := $(CURDIR)/target/run
# systemd looks here whatever the prefix is.
SYSTEMD := /usr/lib/systemd
# zsh on Debian looks in one place for what packages bring and in another for what the machine has of its own.
ZSH := $(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)

# What units say of the folder with the drop-in.
SHARE := s|/usr/share/loopgate|$(PREFIX)/share/loopgate|

.DEFAULT_GOAL := help
.PHONY: help build run check test test-rust test-machine test-package compat runtime deb doc install clean soak latency

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS="$$(printf '\t')" read -r name text; \
	    do printf '%-14s %s\n' "$$name" "$$text"; done

build: ## Build loopgated and loopgate into target/release
	$(CARGO) build --locked --release --bins

run: build ## Serve port 18789 of this machine from target/run, under systemd-socket-activate
	@tests/serve $(BINS) $(RUN) $(PORT)

check: ## Format, lints, the core alone, documentation and the layers; no test
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) check --locked --no-default-features --lib
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps
	$(CARGO) test --locked --test layers

test: check test-rust build test-machine test-package compat runtime ## Everything, on a fresh machine too: installs what it needs (as root)

test-rust: ## Unit and product tests, simulation, recorded conversations, the binary under socket activation
	$(CARGO) test --locked

test-machine: build ## The journal, the units, their sandbox, restarts and crashes under load in a booted Debian machine (as root)
	tests/machine/journal $(BINS)
	tests/machine/firstuse $(BINS)
	tests/machine/sandbox $(BINS)
	tests/machine/doctor $(BINS)
	tests/machine/doctor --suite=bookworm $(BINS)
	tests/machine/adopt $(BINS)
	tests/machine/clients $(BINS)
	tests/machine/storm $(BINS)
	tests/machine/storm --user --mode=restarts --mode=kills $(BINS)

test-package: ## The Debian package, built twice and compared; lintian; autopkgtest and a whole life under load in booted Debian 13 and 12 (as root)
	packaging/build-deb --install target/deb
	tests/package/lintian target/deb
	tests/package/reproducible target/deb
	tests/package/autopkgtest target/deb
	tests/machine/package target/deb/loopgate_*.deb

compat: build ## Real OpenClaw clients of both protocols, and their Control UIs, against loopgated
	tests/compat/install
	python3 tests/compat --bins=$(BINS)

runtime: build ## Real OpenClaw gateways of both versions behind loopgated, with real clients, nodes and Control UIs (as root)
	tests/compat/install
	python3 tests/runtime --bins=$(BINS)
	tests/machine/runtime $(BINS)

soak: build ## The same, each command 20 times in a row and 8 at once, each page for five minutes; 100,000 handshakes; storms of 1,000 restarts; Debian 13's rustc
	tests/machine/msrv
	LOOPGATE_HANDSHAKES=100000 $(CARGO) test --locked --release --test handshakes
	tests/machine/storm --full --release $(BINS)
	tests/machine/storm --full --release --user $(BINS)
	tests/machine/storm --full --release --suite=bookworm $(BINS)
	tests/machine/storm --full --release --suite=bookworm --user $(BINS)
	tests/compat/install
	ROUNDS=20 PARALLEL=8 HOLD=300 python3 tests/compat --bins=$(BINS)
	tests/machine/clients $(BINS) 20
	ROUNDS=20 python3 tests/runtime --bins=$(BINS) --part=fates
	RUNTIME_SECS=1800 tests/machine/runtime $(BINS) 20

latency: build ## What the gate adds to a forwarded call, beside an echo and beside OpenClaw 2026.3.13
	tests/compat/install
	LOOPGATE_PROGRAM=$(abspath $(BINS)/loopgated) LOOPGATE_RUNTIME=2026.3.13 LOOPGATE_CALLS=5000 \
	    $(CARGO) test --locked --test latency -- --nocapture --test-threads=1

deb: ## Build the Debian package into target/deb; VENDOR=1 puts the crates into its source
	packaging/build-deb $(if $(VENDOR),--vendor) target/deb

doc: ## The crate's documentation, with private items, into target/doc
	$(CARGO) doc --locked --no-deps --document-private-items

install: ## Install into DESTDIR and PREFIX what `make build` has built
	install -D -m 755 $(BINS)/loopgated $(DESTDIR)$(PREFIX)/bin/loopgated
	install -D -m 755 $(BINS)/loopgate $(DESTDIR)$(PREFIX)/bin/loopgate
	set -e; for unit in units/*.* units/user/*.*; do \
	    case $$unit in units/user/*) kind=user;; *) kind=system;; esac; \
	    sed -E 's|^(Exec[A-Za-z]+)=/usr/bin/loopgate|\1=$(PREFIX)/bin/loopgate|; $(SHARE)' "$$unit" | \
	        install -D -m 644 /dev/stdin "$(DESTDIR)$(SYSTEMD)/$$kind/$${unit##*/}"; done
	sed '$(SHARE)' units/drop-in/runtime.conf | \
	    install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/loopgate/runtime.conf
	set -e; for page in $(wildcard packaging/man/*.[0-9]); do \
	    install -D -m 644 "$$page" "$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}"; done
	set -e; umask 022; cd $(BINS); for program in loopgated loopgate; do \
	    put() { mkdir -p "$${2%/*}"; ./loopgate completions "$$1" $$program >"$$2"; }; \
	    put bash "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$program"; \
	    put fish "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$program.fish"; \
	    put zsh "$(DESTDIR)$(PREFIX)/share/zsh/$(ZSH)/_$$program"; done
	install -D -m 644 packaging/catalog/loopgate.catalog $(DESTDIR)$(SYSTEMD)/catalog/loopgate.catalog
	install -D -m 644 packaging/sysusers/loopgate.conf $(DESTDIR)/usr/lib/sysusers.d/loopgate.conf
	set -e; for kind in system user; do \
	    install -D -m 644 -t $(DESTDIR)$(SYSTEMD)/$$kind-preset packaging/presets/$$kind/90-loopgate.preset; done
	test -e $(DESTDIR)/etc/loopgate/loopgate.conf || \
	    install -D -m 644 packaging/loopgate.conf $(DESTDIR)/etc/loopgate/loopgate.conf

clean: ## Remove target, the installed clients and the test machine included
	$(CARGO) clean

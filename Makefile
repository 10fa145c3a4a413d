# `make run` and `make test` are all that a newcomer needs; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CONFIG ?= etc/config.toml
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest

# Tests of real processes; the first program gives an ordinary user the right to make network namespaces. They wait more
# than they work, so there are more of them at once than processors. Worksteal: neighbours, which may share a process,
# stay together, and whoever is done takes from the others.
WAITING_JOBS ?= 4
suite = $(BIN)/python -m tests.support.netns $(PYTEST) -q -n $(WAITING_JOBS) --dist worksteal $(1)

# What `make soak` is told, as options.
soak_options = $(if $(HOURS),--hours $(HOURS)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE)) \
    $(if $(HOLD),--hold $(HOLD)) $(if $(WAVE),--wave $(WAVE)) $(if $(RELOADS),--reloads $(RELOADS)) \
    $(if $(SAMPLES),--samples $(SAMPLES))

# A test run must not read what a desk has set up for its own proxies.
unexport http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY

# Nor may each of the thousand processes that tests start compile all of gproxy anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv dev run test static unit e2e interop interop-full bench soak lint fmt lock wheelhouse deb rpm image audit test-packages clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/runtime.stamp  ## build .venv with what running needs: .venv/bin/gproxy

dev: $(VENV)/dev.stamp  ## add to .venv what checking and testing need

run: $(VENV)/runtime.stamp  ## start the proxy of etc/config.toml (CONFIG=FILE for another)
	exec $(BIN)/gproxy run -c $(CONFIG)

test: static unit  ## static checks, unit tests, laws and conformance: no root, no peers

static: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: $(VENV)/dev.stamp
	$(PYTEST) -q -n $(JOBS) --ignore=tests/e2e --ignore=tests/interop --ignore=tests/packaging tests

e2e: $(VENV)/dev.stamp  ## real processes, curl; each test in a network namespace of its own
	$(call suite,tests/e2e)

interop: $(VENV)/dev.stamp  ## real peers, which `sh tests/interop/setup.sh` installs, as root
	$(call suite,tests/interop)

interop-full: $(VENV)/dev.stamp  ## the same, with every combination of protocol, transport, TLS and multiplexing
	GPROXY_FULL=1 $(MAKE) --no-print-directory interop

soak: $(VENV)/dev.stamp  ## a load for 10 minutes, then a wave (HOURS=2, MINUTES=, RATE=100 or max, HOLD=, WAVE=, RELOADS=)
	$(BIN)/python -m tests.bench.soak $(soak_options)

bench: $(VENV)/dev.stamp  ## gproxy beside sing-box, ss-server, microsocks and pproxy: tables of ratios
	$(BIN)/python -m tests.bench

lint: $(VENV)/dev.stamp  ## what `make test` checks without running anything
	$(MAKE) --no-print-directory static

fmt: $(VENV)/dev.stamp  ## format, and mend what can be mended mechanically
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: $(VENV)/runtime.stamp  ## renew both locks from setup.py
	$(PIP) install --quiet uv
	$(BIN)/python scripts/lock.py

wheelhouse: $(VENV)/runtime.stamp  ## fetch the locked wheels for the packages: the only step of packaging with network
	$(BIN)/python scripts/wheelhouse.py
	$(BIN)/python scripts/wheelhouse.py --python 3.12

deb: wheelhouse  ## dist/gproxy_VERSION_ARCH.deb
	$(BIN)/python scripts/deb.py

rpm: wheelhouse  ## dist/gproxy-VERSION-1.ARCH.rpm, for RHEL 8 to 10 and Fedora
	$(BIN)/python scripts/rpm.py

image: wheelhouse  ## dist/gproxy-VERSION-ARCH.oci.tar, a container image, without an engine
	$(BIN)/python scripts/image.py

audit: wheelhouse  ## licences, age and known vulnerabilities of what the lock names; 2 if no database could be asked
	@[ -x build/audit/bin/pip-audit ] || { PYTHON="$(PYTHON)" VENV=build/audit sh scripts/venv.sh && \
	    build/audit/bin/python -m pip --disable-pip-version-check install --quiet pip-audit; } || true
	$(BIN)/python scripts/audit.py

test-packages: wheelhouse $(VENV)/dev.stamp  ## build the packages and live with them, in booted systems; as root
	$(PYTEST) -q -n 3 --dist loadfile --timeout=1200 tests/packaging

clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov
	find gproxy tests scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The environment, in two steps, so that running needs none of the tools. Each step ends in a stamp: a second `make` is
# instant. Everything installed is named with its hash in a lock; the project itself is installed in place.
$(VENV)/runtime.stamp: requirements.lock setup.py
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh scripts/venv.sh
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/runtime.stamp
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

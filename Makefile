# make setup | preprocess | train | evaluate | demo | test | test-interop | lint | bench | bench-peers
# Everything runs in .venv, which `make setup` makes; every other target sets it up first.

PYTHON ?= python3
RUN ?= quickstart
PIP_ARGS ?=
TORCH ?= 2.13.0
VENV := .venv
BIN := $(VENV)/bin
MINOR := $(shell $(PYTHON) -c 'import sys; print("%d%d" % sys.version_info[:2])')
CONSTRAINTS := constraints/py$(MINOR).txt

# The extras that a target needs, each installed once, in order of weight.
setup: $(VENV)/.ready
dev: $(VENV)/.ready-dev
interop: $(VENV)/.ready-interop
gcp: $(VENV)/.ready-gcp

$(CONSTRAINTS):
	@echo "pairstream runs on Python 3.11, 3.12 or 3.13; $(PYTHON) is $(MINOR): pass PYTHON=python3.12" >&2; exit 2

$(VENV)/.ready: pyproject.toml $(CONSTRAINTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c $(CONSTRAINTS) $(PIP_ARGS) -e .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c $(CONSTRAINTS) $(PIP_ARGS) -e '.[dev]'
	@touch $@

# torch comes first and through pip: its CPU build may lie in a wheel folder that pip alone is told of.
$(VENV)/.ready-interop: $(VENV)/.ready-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) torch
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c $(CONSTRAINTS) $(PIP_ARGS) -e '.[dev,interop,mteb]'
	@touch $@

$(VENV)/.ready-bench: $(VENV)/.ready-interop
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c $(CONSTRAINTS) $(PIP_ARGS) -e '.[bench]'
	@touch $@

$(VENV)/.ready-demo: $(VENV)/.ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c $(CONSTRAINTS) $(PIP_ARGS) -e '.[demo]'
	@touch $@

$(VENV)/.ready-gcp: $(VENV)/.ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c $(CONSTRAINTS) $(PIP_ARGS) -e '.[gcp]'
	@touch $@

# make preprocess SOURCE=reddit INPUT='dumps/RC_2019-*.zst' OUTPUT=data/reddit [RUNNER=…] [ARGS=…]
# A runner of its own gets the worker's wheel; Dataflow also needs PROJECT=… REGION=… BUCKET=… (docs/clusters.md).
DATAFLOW := $(filter DataflowRunner,$(RUNNER))
CLUSTER := $(filter-out DirectRunner,$(RUNNER))
IN_BUCKET = gs://$(patsubst gs://%,%,$(BUCKET))
preprocess: preprocess-usage $(if $(DATAFLOW),gcp,setup)
	$(if $(CLUSTER),wheel=$$($(BIN)/python -m pairstream.wheel dist) && )\
	$(BIN)/pairstream preprocess $(SOURCE) $(if $(INPUT),--input $(foreach glob,$(INPUT),'$(glob)')) \
	  --output '$(OUTPUT)' $(if $(RUNNER),--runner $(RUNNER)) \
	  $(if $(DATAFLOW),--project $(PROJECT) --region $(REGION) \
	    --temp_location $(IN_BUCKET)/tmp --staging_location $(IN_BUCKET)/staging) \
	  $(if $(CLUSTER),--no_save_main_session --extra_package "$$wheel") $(ARGS)

# What the workers of a cluster install: pipelines and schemas, without the libraries that train.
wheel: setup
	@$(BIN)/python -m pairstream.wheel dist

preprocess-usage:
	@test -n "$(SOURCE)" -a -n "$(OUTPUT)" || { \
	  echo "usage: make preprocess SOURCE=reddit INPUT='dumps/RC_*.zst' OUTPUT=data/reddit [RUNNER=…] [ARGS=…]" >&2; exit 2; }
	@test -z "$(DATAFLOW)" -o -n "$(PROJECT)" -a -n "$(REGION)" -a -n "$(BUCKET)" || { \
	  echo "usage: make preprocess RUNNER=DataflowRunner PROJECT=… REGION=… BUCKET=… SOURCE=… INPUT='gs://…' OUTPUT=gs://… [ARGS=…]" >&2; exit 2; }

# make train [RUN=quickstart] [ARGS='--set steps=200 --output runs/longer']
train: setup
	$(BIN)/pairstream run $(RUN) $(ARGS)

# make evaluate ENCODER=runs/quickstart/encoder DATA='data/docstrings/docstring_code'
evaluate: setup
	@test -n "$(ENCODER)" -a -n "$(DATA)" || { \
	  echo "usage: make evaluate ENCODER=runs/quickstart/encoder DATA=data/docstrings/docstring_code [ARGS=…]" >&2; exit 2; }
	$(BIN)/pairstream evaluate $(ENCODER) --retrieval $(DATA) $(ARGS)

# make demo [ARGS='--port 8080'] serves the quickstart's encoder and corpus, made first where need be.
demo: $(VENV)/.ready-demo
	@test -f runs/quickstart/encoder/model.safetensors -a -d data/docstrings || $(BIN)/pairstream run quickstart
	$(BIN)/pairstream demo $(ARGS)

# Two processes, each with whole files: more would contend for the cores that JAX and TensorFlow use by themselves.
test: dev
	JAX_PLATFORMS=cpu $(BIN)/python -m pytest -n 2 --dist loadfile -m 'not interop' $(ARGS)

test-interop: interop
	JAX_PLATFORMS=cpu $(BIN)/python -m pytest -m interop $(ARGS)

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/.ready-bench
	JAX_PLATFORMS=cpu $(BIN)/python -m benchmarks.run $(ARGS)

# Loaders of other projects on the same mixture. One needs older libraries than ours, and torchvision: several GB.
bench-peers: $(VENV)/.ready-bench $(VENV)-peers/.ready
	JAX_PLATFORMS=cpu $(BIN)/python -m benchmarks.run peers

$(VENV)-peers/.ready: $(VENV)/.ready
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check torch torchvision
	$(BIN)/uv pip install --quiet --python $(VENV)-peers/bin/python $(PIP_ARGS) \
	  'datasets>=5' 'grain>=0.2.18' array-record 'mosaicml-streaming>=0.13' 'webdataset>=1'
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-peers build dist *.egg-info

.PHONY: setup dev interop gcp preprocess preprocess-usage wheel train evaluate demo test test-interop lint bench bench-peers clean constraints

# Pin anew, for every interpreter, what the bounds in pyproject.toml allow today. torch is pinned by hand below,
# since its CPU and CUDA builds bring different packages.
constraints: setup
	for minor in 11 12 13; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.$$minor --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links --extra dev --extra interop --extra mteb --extra language --extra bench \
	    --extra demo pyproject.toml \
	  | grep -vE "^(torch|triton|cuda-|nvidia-)|python_full_version >= '3.1[2-5]'" \
	  | sed "s/ ; python_full_version < '3.12'//" > constraints/py3$$minor.txt && \
	  echo "torch==$(TORCH)" >> constraints/py3$$minor.txt; \
	done

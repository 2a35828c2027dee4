# Everything a person or CI runs. Each target makes the environment it needs; an environment is made again only when
# pyproject.toml (or the parity requirements) changed. The package is installed editable, so source edits just work.

PYTHON ?= python3
VENV ?= .venv
DEV ?= .venv-dev
PARITY ?= .venv-parity
CLIENTS ?= .venv-clients
WORKERS ?= 2
BENCH ?=
# Compiling every module of every dependency takes half of an installation; Python compiles what it imports.
PIP_FLAGS ?= --quiet --no-compile --disable-pip-version-check

# One BLAS thread per process: the test workers share the cores, and benchmarks measure one thread.
ONE_THREAD := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# Some environments export these two; they choose slower kernels for NumPy and leave PyTorch alone.
FAIR := env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench bench-record attack-study fuzz-study parity conformance clients clients-bench clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.stamp  ## train, fuzz and attack a network on real images; writes report.html and model.ckpt
	$(VENV)/bin/armour demo

test: $(DEV)/.stamp  ## the whole test suite
	$(ONE_THREAD) $(DEV)/bin/python -m pytest -n $(WORKERS) -q $(ARGS)

lint: $(DEV)/.stamp  ## ruff, formatting and strict types
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check --quiet . || { $(DEV)/bin/ruff format --diff --quiet .; exit 1; }
	$(DEV)/bin/python tests/typecheck.py

format: $(DEV)/.stamp  ## format the source
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

# PyTorch's own time depends on the history of malloc; these give it (and us) the best case every time.
MALLOC := MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=67108864

bench: $(PARITY)/.stamp  ## speed against PyTorch, same process, one thread (BENCH=activations: one subject)
	$(FAIR) $(ONE_THREAD) $(MALLOC) PYTHONPATH=.:tests $(PARITY)/bin/python -m benchmarks.suite $(BENCH) $(ARGS)

attack-study: $(PARITY)/.stamp  ## what our attacks find beside what public ones find, on the same weights
	$(FAIR) $(ONE_THREAD) PYTHONPATH=.:tests $(PARITY)/bin/python -m benchmarks.attack_study $(ARGS)

fuzz-study: $(PARITY)/.stamp  ## guided fuzzing against stacked random on four networks; goes on where it stopped
	$(FAIR) $(ONE_THREAD) PYTHONPATH=.:tests $(PARITY)/bin/python -m benchmarks.fuzz_study $(ARGS)

bench-record: $(PARITY)/.stamp  ## keep the newest full run of `make bench` in docs/benchmarks
	PYTHONPATH=.:tests $(PARITY)/bin/python -m benchmarks.record

# The compiled kernels of the extra `fast`, and plans that use them: the other environments do not have it.
FAST_TESTS := $(addprefix tests/tensor/test_,onednn.py numba_kernels.py narrow.py plan.py plan_functions.py)

parity: $(PARITY)/.stamp  ## compare results with PyTorch and the pinned peers
	$(ONE_THREAD) $(PARITY)/bin/python -m pytest -q tests/parity tests/armour/test_hyperplanes.py $(FAST_TESTS) $(ARGS)

# The wheel is only unpacked for the tests in it, so that any machine may take the one for this platform.
ONNX_TESTS := build/conformance/onnx-1.16.2
ONNX_WHEEL := --no-deps --only-binary :all: --python-version 3.11 --platform manylinux2014_x86_64

conformance: $(DEV)/.stamp $(ONNX_TESTS)/.stamp  ## run ONNX's backend tests; docs/conformance.md has the table
	$(ONE_THREAD) PYTHONPATH=.:tests $(DEV)/bin/python -m conformance $(ONNX_TESTS) $(ARGS)

clients: $(CLIENTS)/.stamp  ## trained models from other people's packages, against onnxruntime
	$(ONE_THREAD) $(CLIENTS)/bin/python -m pytest -n $(WORKERS) -q tests/clients $(ARGS)

clients-bench: $(CLIENTS)/.stamp  ## speed of those models against onnxruntime, one thread
	$(FAIR) $(ONE_THREAD) $(MALLOC) PYTHONPATH=.:tests/clients $(CLIENTS)/bin/python -m measure $(ARGS)

clean:  ## remove environments and everything built
	rm -rf $(VENV) $(DEV) $(PARITY) $(CLIENTS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.stamp: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) -e ".[data]"
	touch $@

$(DEV)/.stamp: pyproject.toml
	$(PYTHON) -m venv --clear $(DEV)
	$(DEV)/bin/python -m pip install $(PIP_FLAGS) -e ".[dev]"
	touch $@

$(PARITY)/.stamp: pyproject.toml tests/parity/requirements.txt tests/parity/packages.txt
	$(PYTHON) -m venv --clear $(PARITY)
	$(PARITY)/bin/python -m pip install $(PIP_FLAGS) -r tests/parity/requirements.txt -e ".[fast]"
	$(PARITY)/bin/python -m pip install $(PIP_FLAGS) --no-deps -r tests/parity/packages.txt
	touch $@

$(ONNX_TESTS)/.stamp: | $(DEV)/.stamp
	rm -rf $(@D) && mkdir -p $(@D)
	$(DEV)/bin/python -m pip download --quiet --disable-pip-version-check $(ONNX_WHEEL) --dest $(@D)/.. onnx==1.16.2
	$(DEV)/bin/python -m zipfile -e $(@D)/../onnx-1.16.2-*.whl $(@D)
	touch $@

$(CLIENTS)/.stamp: pyproject.toml tests/clients/requirements.txt tests/clients/packages.txt
	$(PYTHON) -m venv --clear $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install $(PIP_FLAGS) -r tests/clients/requirements.txt -e ".[fast]"
	$(CLIENTS)/bin/python -m pip install $(PIP_FLAGS) --no-deps -r tests/clients/packages.txt
	touch $@

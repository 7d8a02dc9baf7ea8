# make demo: from nothing to a trained, exported and served network.   make test: the tests and linters.
# make activations: the same with a network of ReLUs of every kind, and their curves as ONNX Runtime runs them.
# make bench: what it costs, against the alternatives; ten quiet minutes.
# make demo-training: the same network trained in ONNX Runtime, both ways, with their curves.
# make demo-distributed: the same network trained in one process and in two, with their slopes and weights compared.
# make demo-paddle: the same with Paddle instead of torch, in an environment of its own.
# make demo-uncertainty: how sure the same network is of a digit that is turned, from 64 draws of its slopes.
# make demo-web: a page that runs the trained digits network in the browser; needs npm.
# make fuzz MINUTES=2: the C API against an independent oracle, with libFuzzer.
# make fuzz-models CASES=100000 JOBS=1: every tool on damaged models; two hours of an idle core.
# make fuzz-serving REQUESTS=100000: ort-rrelu serve against whole, changed and broken requests; ten minutes.
# make matrix: the core's tests on each release of ONNX Runtime, onnx, NumPy and Python; an hour.
# make mutation: bugs planted one at a time, and how many of them the tests catch; an hour or two.
# make test-faults: ort-rrelu serve at twice the load that saturates it, while clients, disk and process fail; five minutes.
# make test-lifecycle: 10^5 sessions and registrations, forks, interrupts, killed writers; ten minutes.
# make test-stream: 10^9 draws and pairs of draws through statistical tests; twenty minutes. dieharder: tests/statistics.
# make docs: docs/ and a reference of the Python functions as a site with search, in build/site.
# make sdist: the source archive.   make native-wheel: a wheel of this system, built and tested by cibuildwheel.
# make test-wheel: installs the wheel of this system out of dist/wheels, and tests it.
# TAG=v1.2.3 make release-check: whether this may be released under that tag. make publish: dist/release to PyPI.
# make wheels: wheels for five platforms, tested as far as one Linux machine can; half an hour. Needs Debian.
# make test-all: make test, make docs and the nox sessions that are no target of their own; what CI runs.
PYTHON ?= python3
VENV := .venv
PADDLE := .venv-paddle
TRAINING := .venv-training
DOCS := .venv-docs
RELEASE := .venv-release
INSTALLED := .venv-wheel
BIN := $(VENV)/bin
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
RELEASE_BIN := $(RELEASE)/$(SCRIPTS)
RUFF := $(shell grep -o 'ruff ==[0-9.]*' pyproject.toml | tr -d ' ')
WORKFLOWS := $(wildcard .github/workflows/*.yml)
SOURCES := CMakeLists.txt pyproject.toml constraints.txt $(shell find ops cmake python third_party -type f -not -name '*.pyc')
CPP := $(shell find models ops tests wheels -name '*.c' -o -name '*.cc' -o -name '*.cu' -o -name '*.h')
WERROR := $(if $(CI),ON,OFF)
# ON: the CUDA kernels too, which takes half a minute more. nox has a session that builds them.
CUDA ?= OFF
SETTINGS := -C cmake.define.ORT_RRELU_WERROR=$(WERROR) -C cmake.define.ORT_RRELU_CUDA=$(CUDA)
SHELL := bash
NOX := $(BIN)/nox --non-interactive

.PHONY: activations bench demo demo-distributed demo-paddle demo-training demo-uncertainty demo-web docs fuzz fuzz-models fuzz-serving matrix mutation native-wheel publish release-check sdist test test-all test-faults test-lifecycle test-long test-stream test-wheel lint wheel wheels clean

demo: $(VENV)/.installed
	$(BIN)/python -m models.digits

activations: $(VENV)/.installed
	$(BIN)/python -m models.activations

demo-distributed: $(VENV)/.installed
	$(BIN)/python -m models.digits_distributed

# -W: what importing Paddle says of a compiler cache, which nothing here needs.
demo-paddle: $(PADDLE)/.installed
	$(PADDLE)/bin/python -W "ignore:No ccache found" -m models.digits_paddle

# Road A has an environment of its own: onnxruntime-training takes the place of onnxruntime.
demo-training: $(VENV)/.installed $(TRAINING)/.installed
	$(TRAINING)/bin/python -m models.digits_training.road_a
	$(BIN)/python -m models.digits_training

demo-uncertainty: $(VENV)/.installed
	$(BIN)/python -m models.digits_uncertainty

demo-web: $(VENV)/.installed
	$(BIN)/python -m models.web

bench: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks

# One thread of torch a worker: there is a worker for each core.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test-all:
	bash .ci/stage "make test" $(MAKE) test
	bash .ci/stage "make docs" $(MAKE) docs
	bash .ci/stage "nox, a session at a time" $(NOX) -t alone
	bash .ci/stage "nox, two at a time" bash .ci/both "$(NOX) -t first" "$(NOX) -t beside"

# What CI does not wait for: the oldest Paddle, more of training. Last results: docs/platforms.md, docs/training.md.
test-long: $(VENV)/.installed
	$(NOX) -t long

# The last result is tests/lifecycle/result.json.
test-lifecycle: $(VENV)/.installed
	$(BIN)/python -m tests.lifecycle

MINUTES ?= 2
fuzz: $(VENV)/.installed
	$(NOX) -s fuzz -- $(MINUTES)

# The result goes to tests/commands/fuzz_models.json.
CASES ?= 100000
JOBS ?= 1
fuzz-models: $(VENV)/.installed
	$(BIN)/python -m tests.commands.fuzz_models --cases $(CASES) --jobs $(JOBS)

# The last results are in tests/servers/results.
REQUESTS ?= 100000
fuzz-serving: $(VENV)/.installed
	$(NOX) -s "serving_long(what='fuzz')" -- --requests $(REQUESTS)

test-faults: $(VENV)/.installed
	$(NOX) -s "serving_long(what='faults')"

# The last results are in tests/statistics/results.
test-stream: $(VENV)/.installed
	$(BIN)/python -m tests.statistics

# The last result is tests/matrix.json.
matrix: $(VENV)/.installed
	$(NOX) -t matrix --report tests/matrix.json

# The last result is tests/mutation/result.json.
mutation: $(VENV)/.installed
	$(BIN)/python -m tests.mutation

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CPP)
	$(BIN)/check-jsonschema -q --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(BIN)/zizmor --offline --quiet $(WORKFLOWS)
	$(BIN)/pre-commit validate-config

wheel: $(VENV)/.installed
	$(BIN)/python -m pip wheel -q --no-deps $(SETTINGS) -w dist .

# The variable: what Material for MkDocs says of its successor.
docs: $(DOCS)/.installed
	PATH=$(CURDIR)/$(DOCS)/bin:$$PATH NO_MKDOCS_2_WARNING=1 mkdocs build -f website/mkdocs.yml
	$(DOCS)/bin/python website/links.py build/site

sdist: $(RELEASE)/.installed
	$(RELEASE_BIN)/uv build -q --sdist --out-dir dist/sdist .

native-wheel: $(RELEASE)/.installed
	$(RELEASE_BIN)/python -m cibuildwheel --output-dir dist/native

# The same tests as after a native build: pyproject.toml, [tool.cibuildwheel].
test-wheel:
	$(PYTHON) -m venv --clear $(INSTALLED)
	$(INSTALLED)/$(SCRIPTS)/python -m pip install -q --no-index --no-deps --find-links dist/wheels ort-rrelu
	$(INSTALLED)/$(SCRIPTS)/python -m pip install -q ort-rrelu hypothesis onnxruntime pytest
	$(INSTALLED)/$(SCRIPTS)/python -m pytest -q tests/core/test_parity.py tests/core/test_known_answers.py

# TAG and BRANCH are the shell's: make would expand $$(...) in them.
release-check:
	$(PYTHON) .ci/release_check.py "$$TAG" $${BRANCH:+"$$BRANCH"}

publish: $(RELEASE)/.installed
	$(RELEASE_BIN)/twine check --strict dist/release/*
	$(RELEASE_BIN)/uv publish --trusted-publishing always dist/release/*

# The last result is wheels/result.json.
wheels: $(VENV)/.installed
	$(NOX) -s wheels

$(BIN)/python $(PADDLE)/bin/python $(TRAINING)/bin/python: %/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $*

# Objects and fetched headers stay in build/, so that an installation after an edit takes seconds.
$(VENV)/.installed: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt $(SETTINGS) '.[test,lint]'
	touch $@

# Without its dependencies: Paddle2ONNX pins an onnx that is older than ours, and runs with ours.
$(PADDLE)/.installed: $(SOURCES) | $(PADDLE)/bin/python
	$(PADDLE)/bin/python -m pip install -q -c constraints.txt $(SETTINGS) '.[demo-paddle]'
	$(PADDLE)/bin/python -m pip install -q --no-deps paddle2onnx==2.1.0
	touch $@

$(TRAINING)/.installed: $(SOURCES) | $(TRAINING)/bin/python
	$(TRAINING)/bin/python -m pip install -q -c constraints.txt $(SETTINGS) '.[demo-training]'
	touch $@

# ruff formats the signatures of functions.
$(DOCS)/.installed: constraints.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install -q -c constraints.txt mkdocs-material mkdocstrings-python $(RUFF)
	touch $@

$(RELEASE)/.installed: constraints.txt
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE_BIN)/python -m pip install -q -c constraints.txt cibuildwheel twine uv
	touch $@

clean:
	rm -rf $(VENV) $(PADDLE) $(TRAINING) $(DOCS) $(RELEASE) $(INSTALLED) build dist out .nox

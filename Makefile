# `make demo` turns a speech file into a talking head; `make test` runs the tests. Both set up what they need.
SHELL := /bin/bash
.DEFAULT_GOAL := demo
.PHONY: demo test test-fast lint serve live lock audit clean

AUDIO ?= examples/hello.wav
OUT ?= out.mp4
VENV := .venv
# The interpreter must have a shared libpython and be 3.10 to 3.12: the Triton stub is built for these.
PYTHON ?= $(shell scripts/find_python)

demo: $(VENV)/.serving
	$(VENV)/bin/avatar render $(AUDIO) -o $(OUT) --timings

serve: $(VENV)/.serving
	$(VENV)/bin/avatar serve

test: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/python -m pytest -m "slow or not slow"

test-fast: $(VENV)/.test
	$(VENV)/bin/python -m pytest -m "not slow"

lint: $(VENV)/.test
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

# Every figure of live sessions, half an hour on a machine with nothing else to do; a bar that is missed does not stop it.
live: $(VENV)/.test
	-$(VENV)/bin/python -m benchmarks.live --seconds 60 --store build/live.jsonl
	-$(VENV)/bin/python -m benchmarks.live --seconds 60 --lookahead-ms 80 --store build/live.jsonl
	-$(VENV)/bin/python -m benchmarks.live --seconds 60 --encoding h264 --store build/live.jsonl
	-$(VENV)/bin/python -m benchmarks.live --seconds 60 --sessions 2 --store build/live.jsonl
	-$(VENV)/bin/python -m benchmarks.live --seconds 60 --sessions 2 --fps 25 --store build/live.jsonl
	-$(VENV)/bin/python -m benchmarks.live --seconds 600 --store build/live.jsonl
	-$(VENV)/bin/python -m benchmarks.live --hour --store build/live.jsonl

# Versions and hashes of everything that serving installs; after a change of pyproject.toml.
lock: $(VENV)/.supply-chain
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		--python-version 3.10 pyproject.toml -o requirements.lock

# Consistency, bill of materials (build/sbom.json) and, with network, known vulnerabilities.
audit: $(VENV)/.supply-chain
	scripts/audit $(VENV)

$(VENV)/.supply-chain: $(VENV)/.serving
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[supply-chain]'
	touch $@

$(VENV)/bin/python:
	scripts/make_venv $(VENV) $(PYTHON)

$(VENV)/.serving: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.test: $(VENV)/.serving
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) .cache build

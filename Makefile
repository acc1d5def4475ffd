# Everything runs in .venv, which is made on first use and again when its inputs change.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-all check docs wheel clean

demo: $(READY)
	$(BIN)/cai demo

test: check
	$(BIN)/python -m pytest -n auto -m "not slow and not network and not gpu"

test-all: check
	$(BIN)/python -m pytest -n auto -m "not network and not gpu"

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright

docs: $(READY)
	$(BIN)/sphinx-build -W -q -b html docs docs/_build

wheel: $(READY)
	$(BIN)/python -m build --wheel --no-isolation

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cai needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,dev,docs]'
	touch $(READY)

clean:
	rm -rf .venv build dist docs/_build

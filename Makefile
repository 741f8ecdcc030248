# make demo   lift the pictures in examples/ and three real photos into demo/ and say where the gallery is
# make test   everything that guards the code: ruff, mypy, and the three rings of tests
# make check  ruff and mypy only
#
# Each makes what it needs in .venv, from nothing but Python 3.11 and pip, and finds it ready the second time.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
QUALITY ?= draft

.DEFAULT_GOAL := help
.PHONY: help demo test check clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 5

.venv/.run: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.dev: .venv/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# A photograph without a subject is refused, with its reason; that alone does not spoil the demo.
demo: .venv/.run
	$(BIN)/python examples/real_photos.py build/photos
	$(BIN)/lift3d-ray submit 'examples/*.png' build/photos --out demo --recipe make-it-3d --quality $(QUALITY) \
		|| test "$$(find demo -name asset.glb | wc -l)" -ge 6
	@echo "Open demo/index.html, or run: $(BIN)/lift3d-ray view demo"

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check
	$(BIN)/python -m pytest

clean:
	rm -rf build dist demo .mypy_cache .pytest_cache .ruff_cache .hypothesis lift3d_ray.egg-info

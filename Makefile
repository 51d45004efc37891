# digitbench: what a newcomer and a developer run. `make` alone lists the targets.

PYTHON ?= python3
RUN    := .venv/bin/python
MARK   := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help quickstart test sample nightly lint architecture bench fuzz clean

help:            ## list the targets
	@grep -hE '^[.a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([.a-z]+):[^#]*## ?/  make \1\t/' | expand -t 20

quickstart: .venv   ## train, export, and compare every runtime on this machine, in under 3 minutes once installed
	$(RUN) -m digitbench quickstart

# What pytest compiles of the tests is kept: it takes longer than most tests.
test sample nightly: export PYTHONDONTWRITEBYTECODE =
test sample nightly: export PYTHONPYCACHEPREFIX = $(CURDIR)/.venv/bytecode

test: .venv      ## run the tests, three files at a time
	$(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart=0

sample: .venv    ## run every twentieth of the slow tests, which `make test` leaves out
	$(RUN) -m pytest -n 2 --dist load -m slow --every 20 --max-worker-restart=0

nightly: .venv   ## run all slow tests: MNIST, environments of their own, imports of all kinds
	$(RUN) -m pytest -n 2 --dist load -m slow --max-worker-restart=0

lint: .venv      ## ruff, formatting, mypy --strict, and the budget of lines
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy digitbench backends benchmarks tests tools
	$(RUN) tools/architecture.py

architecture: .venv   ## draw docs/architecture.svg from the code
	$(RUN) tools/architecture.py --draw

bench: .venv     ## the pytest-benchmark suite: accuracy and latency of every runtime
	$(RUN) -m pytest benchmarks

fuzz: .venv      ## break 5,000 models and 5,000 pictures: each must end in one line (45 minutes or so)
	$(RUN) tests/fuzz.py

.venv: $(MARK)   ## make the virtual environment, of the extras all and test (Python 3.11 to 3.13)

$(MARK): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("digitbench needs Python 3.11 to 3.13, and $(PYTHON) is %d.%d; name another: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv --clear .venv
	$(RUN) -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[all,test]'
	@touch $(MARK)

clean:           ## remove the virtual environment and caches; bundles in runs/ stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks

# make run    open the workbench           make test   everything a change must pass
# make bench  ratios to peers, as JSON     make lint | types | contracts   one check alone
# make models train the bundled networks anew, one after the other: many hours; it goes on where it was stopped, and says their
#             figures beside those of the cards
# make resources  render and sweep the bundled networks anew, for what is seen before anything is computed
# The first call makes .venv; PYTHON=/path/to/python3 chooses the interpreter, ARGS="..." is passed on.

BIN := .venv/bin
ARGS ?=
SET_UP := pyproject.toml constraints.txt .ci/set-up

NETWORKS ?= inception resnet convnext vit clip clip-rn caption-lm judge-style diffusion

.PHONY: run test bench models resources lint types contracts venv

run: .venv/ready-to-run
	$(BIN)/python main.py $(ARGS)

test: .venv/ready-to-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

bench: .venv/ready-to-bench
	$(BIN)/python -m tests.bench $(ARGS)

models: .venv/ready-to-run
	$(BIN)/python -m workbench.training.publish $(NETWORKS)

resources: .venv/ready-to-run
	$(BIN)/python -m workbench.jobs.first_look $(ARGS)

lint: .venv/ready-to-test
	$(BIN)/ruff check .

types: .venv/ready-to-test
	$(BIN)/mypy

contracts: .venv/ready-to-test
	$(BIN)/lint-imports --no-cache

venv: .venv/ready-to-test

.venv/ready-to-%: $(SET_UP)
	sh .ci/set-up $*
	touch $@

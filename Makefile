# make demo     run a network, measure it, show the report    } both install first
# make test     every check and every test, in one command    } what is missing
# make kernel   build the guest kernel that tests in virtual time need: once, some minutes
# make check    format, lint, types, import contracts
# make format   put the code into the project's format
# make bench    measure the costs
# make clean    remove what the others wrote, but not .venv

DURATION ?= 20s

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test kernel check format bench clean

help:
	@sed -n 's/^# //p' Makefile | head -7

setup:
	@.ci/setup

demo: setup
	@.venv/bin/linkem run regions --duration $(DURATION) --report build/demo
	@echo && echo "The report, in build/demo:" && ls build/demo
	@echo && echo "One link's delay, raised over MQTT while a ping runs:" && .venv/bin/python examples/live_control.py

test: setup
	@.venv/bin/python .ci/run_tests.py

kernel:
	@.ci/setup kernel
	@.venv/bin/linkem kernel build

check: setup
	@.ci/check

format: setup
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix

bench: setup
	@.ci/with-kernel .venv/bin/python -m benchmarks
	@.venv/bin/python -m benchmarks control_of_a_guest virtual_time --json build/bench-guest.json

clean:
	@rm -rf build dist .coverage .coverage.* htmlcov .hypothesis
	@rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

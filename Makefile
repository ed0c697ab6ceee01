# The doors of this project. `make up` runs it, `make test` tests it; both work on a fresh machine.
QMAIL_HOME ?= /var/qmail
SOAK_SECONDS ?= 600
# What proofs count, for `make promise`.
PYQMAIL_FIGURES ?= $(CURDIR)/build/figures
VENV := .venv
TEST := $(VENV)/bin/python -m

.PHONY: up test prove prove-all soak promise fuzz bin tools man setup install check packages deb lint bench clean
.NOTPARALLEL: # `make setup check` is one after the other

up: bin
	@PORT=$(PORT) $(VENV)/bin/python setup/up.py

bin:
	@sh setup/environment.sh $(VENV) setup/requirements.txt
	@sh setup/bin.sh $(VENV) bin

man: bin
	@$(VENV)/bin/python setup/manpages.py

setup: bin
	@sh setup/install.sh $(VENV) $(QMAIL_HOME)

install: setup
	@:

check:
	@$(VENV)/bin/python setup/check.py $(QMAIL_HOME)

packages:
	@sh setup/packages.sh build

deb: bin
	@$(VENV)/bin/python setup/deb.py build

tools: bin
	@sh setup/environment.sh $(VENV) setup/requirements.txt setup/requirements-test.txt

test: tools
	@$(TEST) pytest -m "not prove" -n 2

prove prove-all soak: export PYQMAIL_FIGURES := $(PYQMAIL_FIGURES)

prove: tools
	@$(TEST) pytest -m prove -n 2 --dist loadgroup

# Nothing is left to chance, and much that is rare is tried: for a night.
prove-all: tools
	@PYQMAIL_PROVE=all $(TEST) pytest -m prove -n 2 --dist loadgroup

soak: bin
	@$(VENV)/bin/python tests/soak/soak.py --seconds $(SOAK_SECONDS) $(if $(SOAK_SEED),--seed $(SOAK_SEED))

promise: bin
	@$(VENV)/bin/python setup/promise.py $(PYQMAIL_FIGURES)

fuzz: tools
	@sh setup/environment.sh $(VENV) setup/requirements.txt setup/requirements-test.txt setup/requirements-fuzz.txt
	@nice $(VENV)/bin/python tests/fuzz/run.py $(TARGET)

lint: tools
	@$(TEST) ruff check src tests setup bench
	@$(TEST) ruff format --check src tests setup bench
	@$(TEST) mypy
	@PYTHONPATH=src $(VENV)/bin/lint-imports --no-cache

bench: bin
	@$(VENV)/bin/python bench/compare.py --write

clean:
	rm -rf $(VENV) bin man build/figures

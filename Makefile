# What does one type?  POSIX make only, so that FreeBSD's make runs it as well as GNU's.
#
# Each target makes its own virtual environment in .venv from requirements/<its name>.txt, where
# every package is pinned and hashed; nothing is fetched that is not in such a lock.

PYTHON = python3
SERVE_FLAGS =
TEST_FLAGS =
LOCK_FLAGS =

# The environment of the target at hand: .venv/test for .venv/test/ready.
PIP = $(@D)/bin/python -m pip --disable-pip-version-check --no-input --quiet install
COMPILE = .venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command 'make lock' $(LOCK_FLAGS)
SHELL_FILES = .ci/run rc.d/kvm_exporter tests/system/guests/*.sh

.PHONY: help serve test lint bench system-test lock clean
.NOTPARALLEL:

help:
	@echo "make serve        the exporter on this machine's kernel, at the URL it prints"
	@echo "make test         the tests"
	@echo "make lint         format, lint, types, import contracts, shell scripts"
	@echo "make system-test  against real peers; needs the Debian packages in .ci/run"
	@echo "make bench        the headline figures, peers measured in the same run"
	@echo "make lock         write requirements/*.txt anew (LOCK_FLAGS=--upgrade: newest versions)"
	@echo "make clean        remove everything that these made"

serve: .venv/serve/ready
	@exec .venv/serve/bin/kvm_exporter serve --config.file=config/kvm_exporter.yml $(SERVE_FLAGS)

test: .venv/test/ready
	.venv/test/bin/python -m pytest $(TEST_FLAGS)

system-test: .venv/system/ready
	.venv/system/bin/python -m pytest -m system tests/system $(TEST_FLAGS)

lint: .venv/lint/ready
	.venv/lint/bin/ruff format --check .
	.venv/lint/bin/ruff check .
	.venv/lint/bin/mypy
	.venv/lint/bin/lint-imports
	if command -v shellcheck; then shellcheck $(SHELL_FILES); \
	else echo "shellcheck is not installed: left out"; fi

bench: .venv/bench/ready
	for file in benchmarks/bench_*.py; do .venv/bench/bin/python $$file || exit 1; done

.venv/serve/ready: requirements/serve.txt
.venv/test/ready: requirements/test.txt
.venv/system/ready: requirements/system.txt
.venv/lint/ready: requirements/lint.txt
.venv/bench/ready: requirements/bench.txt
.venv/lock/ready: requirements/lock.txt

# Without build isolation, else pip would fetch a build's own requirements, pinned by nobody.
.venv/serve/ready .venv/test/ready .venv/system/ready .venv/lint/ready .venv/bench/ready \
.venv/lock/ready: requirements/build.txt pyproject.toml
	$(PYTHON) -m venv --clear $(@D)
	$(PIP) --require-hashes -r requirements/build.txt
	$(PIP) --require-hashes --no-build-isolation -r requirements/$$(basename $(@D)).txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

lock: .venv/lock/ready
	$(COMPILE) --output-file requirements/build.txt requirements/build.in
	$(COMPILE) --output-file requirements/lock.txt requirements/lock.in
	$(COMPILE) --constraint requirements/build.txt \
		--output-file requirements/serve.txt pyproject.toml requirements/serve.in
	for name in test system lint bench; do \
		$(COMPILE) --constraint requirements/build.txt --constraint requirements/serve.txt \
			--output-file requirements/$$name.txt pyproject.toml requirements/$$name.in || exit 1; \
	done

clean:
	rm -rf .venv build dist kvm_exporter.egg-info .coverage
	rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

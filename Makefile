# Everything runs in a virtual environment: the active one, else .venv, made on first use.
#
#   make quickstart    train on the data that ships with the package, and show what came of it
#   make test          what a change must pass: format, lint, types, tests
#   make check         the same without the tests
#   make format        put the code in form
#   make clean         remove what tools left behind; .venv and runs stay
#
# Another .venv Python: make test PYTHON=python3.12
# Arguments to pip:     make test PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON = python3
bin = "$${VIRTUAL_ENV:-.venv}/bin"

.PHONY: quickstart test check format clean install install-dev
.NOTPARALLEL:

quickstart: install
	$(bin)/maskedae quickstart

test: check
	$(bin)/python -m pytest

check: install-dev
	$(bin)/python -m ruff format --check .
	$(bin)/python -m ruff check .
	$(bin)/python -m mypy

format: install-dev
	$(bin)/python -m ruff check --fix .
	$(bin)/python -m ruff format .

clean:
	rm -rf build dist maskedae.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . \( -path ./.venv -o -path ./runs -o -path ./.git \) -prune \
	    -o -type d -name __pycache__ -prune -exec rm -rf {} +

# The stamp says which checkout, Python and requirements the environment was made from; while pip
# runs, it says "unfinished". pip writes INSTALLER once a package is whole: after an interruption,
# packages without one are forgotten, and pip installs them again.
install-dev: extra = dev
install install-dev:
	@set -eu; \
	fail() { echo "maskedae: $$1" >&2; exit 1; }; \
	check_version() { \
	    version=$$("$$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) \
	        || fail "$$2 does not run; Python 3.10 or newer is needed"; \
	    case $$version in 2.*|3.[0-9]) \
	        fail "Python 3.10 or newer is needed, and $$2 is $$version; $$3";; \
	    esac; \
	}; \
	venv=$${VIRTUAL_ENV:-.venv}; \
	made() { [ -e .venv/bin/activate ] && .venv/bin/python -c '' 2>/dev/null; }; \
	if [ -z "$${VIRTUAL_ENV:-}" ] && ! made; then \
	    check_version '$(PYTHON)' '$(PYTHON)' 'name another: make PYTHON=python3.12'; \
	    '$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || fail \
	        '$(PYTHON) makes no virtual environments; on Debian and Ubuntu, install python3-venv'; \
	    echo "Making a virtual environment in .venv"; \
	    '$(PYTHON)' -m venv --clear .venv; \
	fi; \
	check_version "$$venv/bin/python" "the Python of $$venv" \
	    'leave or remove that environment'; \
	stamp=$$venv/maskedae.stamp; \
	made_from=$$(pwd -P; echo "$$version"; cksum pyproject.toml setup.cfg); \
	case $$(cat "$$stamp" 2>/dev/null) in \
	    "$$made_from$(extra:%= %)"*) exit 0;; \
	    unfinished) for info in "$$venv"/lib/python*/site-packages/*.dist-info; do \
	        [ -e "$$info/INSTALLER" ] || rm -rf "$$info"; \
	    done;; \
	esac; \
	echo unfinished > "$$stamp"; \
	echo "Installing maskedae and what it needs into $$venv (once; PyTorch is large)"; \
	"$$venv/bin/python" -m pip --version >/dev/null 2>&1 \
	    || "$$venv/bin/python" -m ensurepip >/dev/null \
	    || fail "there is no pip in $$venv"; \
	"$$venv/bin/python" -m pip install --disable-pip-version-check $(PIP_ARGS) \
	    --editable '.$(extra:%=[%])'; \
	echo "$$made_from$(extra:%= %)" > "$$stamp"

#!/bin/sh
# Makes the virtual environment $VENV with $PYTHON, or says which system package is missing. Called by the Makefile.
set -eu

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

command -v "$PYTHON" >/dev/null || fail "$PYTHON is not installed. On Debian: apt install python3 python3-venv"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "gproxy needs Python 3.11 or newer, and $PYTHON is $("$PYTHON" --version). Name another: make PYTHON=python3.12 ..."

[ -x "$VENV/bin/python" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1 && exit 0
rm -rf "$VENV"

if "$PYTHON" -c 'import venv, ensurepip; ensurepip.version()' 2>/dev/null; then
    exec "$PYTHON" -m venv "$VENV"
fi

# Debian keeps ensurepip in python3-venv. A pip of the system can fill an environment that has none.
pip_wheel=$(ls /usr/share/python-wheels/pip-*.whl 2>/dev/null | head -n 1)
if "$PYTHON" -c 'import venv' 2>/dev/null; then
    if [ -n "$pip_wheel" ]; then
        "$PYTHON" -m venv --without-pip "$VENV"
        exec "$VENV/bin/python" "$pip_wheel/pip" install --quiet --no-index "$pip_wheel"
    fi
    if "$PYTHON" -m pip --version >/dev/null 2>&1; then
        "$PYTHON" -m venv --without-pip "$VENV"
        exec "$PYTHON" -m pip --python "$VENV/bin/python" install --quiet pip
    fi
fi
fail "Python's venv module can't make an environment here. Install it, then run make again:" \
    "    apt install python3-venv"

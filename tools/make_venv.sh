#!/bin/sh
# Makes .venv from the pinned requirements; `make` calls it when they have changed.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
# What would put packages elsewhere, or change which; an index, a proxy or a certificate is the user's choice. And what
# Python reads, but PYTHON itself, which is ours.
unset PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_DRY_RUN PIP_CONSTRAINT PIP_REQUIREMENT PIP_EDITABLE
unset PIP_NO_BINARY PIP_ONLY_BINARY PIP_PLATFORM PIP_IGNORE_INSTALLED PIP_REQUIRE_VIRTUALENV PIP_REQUIRE_HASHES
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONWARNINGS PYTHONIOENCODING PYTHONUTF8 PYTHONOPTIMIZE
unset PYTHONDEVMODE PYTHONSAFEPATH PYTHONPYCACHEPREFIX PYTHONUSERBASE

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "spotfleet needs Python 3.11 or later, and '$python' is not: install one and run make PYTHON=<its name>." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing python3-venv, which Debian keeps apart from Python"
        apt-get update -qq && apt-get install --yes --no-install-recommends python3-venv
    else
        echo "Python's venv module is missing: run 'sudo apt-get install python3-venv', then make again." >&2
        exit 1
    fi
fi

echo "Installing the pinned requirements into .venv (once; about half a minute)"
(while sleep 4; do echo "  ... still installing"; done) &
ticker=$!
trap 'kill $ticker 2>/dev/null' EXIT
# Left by an earlier setuptools, and read before what is installed: Sceptre would know yesterday's hooks only.
rm -rf spotfleet.egg-info
"$python" -m venv --clear .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
# Hashes are for files, and this is a folder; what builds it is among the requirements.
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
touch .venv/installed

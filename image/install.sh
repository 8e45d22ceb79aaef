#!/bin/sh
# Installs the packages that REQUIREMENTS lists, each with its hash, into the folder TARGET: install.sh REQUIREMENTS TARGET
set -eu
here=$(dirname "$0")

# Behind a proxy that re-signs TLS, pip needs the company's certificates; a secret leaves no trace in the image.
if [ -f /run/secrets/ca_bundle ]; then
    export PIP_CERT=/run/secrets/ca_bundle
fi
python3 -m venv "$here/venv"
if ! "$here/venv/bin/pip" install --no-cache-dir --disable-pip-version-check --no-compile --only-binary :all: \
    --require-hashes --target "$2" --requirement "$1" 2>"$here/errors"; then
    cat "$here/errors" >&2
    if grep -qiE 'require-hashes|do not match the hashes' "$here/errors"; then
        echo "$1 lacks packages or hashes: name the package in ${1%.txt}.in, run 'make requirements', and build again." >&2
    fi
    exit 1
fi
cat "$here/errors" >&2

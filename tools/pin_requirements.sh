#!/bin/sh
# Pins what each requirements.in names, and what that pulls in, with the hash of every file of every platform in the
# requirements.txt beside it; `make requirements` calls it. Pins that still fit stay; `--upgrade` renews them.
set -eu
cd "$(dirname "$0")/.."

# requirements-dev.txt comes last: it keeps to the versions of the first two.
for name in requirements service/requirements image/requirements requirements-scan requirements-dev; do
    # One file for every platform and every Python from this one on. No package index's address gets into it.
    # Dependabot reads from its header how to make it.
    options="--universal --python-version 3.11"
    # shellcheck disable=SC2086
    .venv/bin/uv pip compile --quiet $options --generate-hashes --no-emit-index-url \
        --custom-compile-command "make requirements, which runs uv pip compile $options" \
        --output-file "$name.txt" "$@" "$name.in"
done

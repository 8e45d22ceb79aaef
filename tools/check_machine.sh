#!/bin/sh
# Says at once, before anything is installed, what this machine lacks for `make up`; later `spotfleet up` says it.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
test ! -e .venv/installed || exit 0
# A Python that is too old, or none, is make_venv.sh's to name.
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || exit 0
exec "$python" -E -m spotfleet.local.host.machine_check "$@"

"""`python -m spotfleet`, for whom the command `spotfleet` is not on the PATH."""

import sys

from spotfleet.cli.__main__ import run

sys.exit(run())

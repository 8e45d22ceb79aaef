"""The service with the tests' own pages: `python -m tests.sample`."""

import sys

from service import app
from service.__main__ import main
from tests.sample import handlers

__all__ = ["main"]

# As users do it, who write their pages into the module that is there.
vars(app)["handlers"] = handlers

if __name__ == "__main__":
    sys.exit(main())

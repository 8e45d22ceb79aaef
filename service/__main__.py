"""Starts the service: `python -m service`."""

import os
import signal
import sys

# Process 1 of a container ignores SIGTERM until it handles it, and importing takes a second on a small share of a CPU.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

from service.settings import SettingsError, settings_from  # noqa: E402


def main() -> int:
    """Run the service as the environment says; return the exit code."""
    try:
        settings = settings_from(os.environ)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    # Only now: a wrong setting is told at once.
    from service.app import create_app  # noqa: PLC0415
    from service.server.server import run  # noqa: PLC0415

    try:
        run(create_app, settings)
    except OSError as error:
        print(f"error: cannot listen on HOST {settings.host}, PORT {settings.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

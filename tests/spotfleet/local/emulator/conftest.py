"""The emulator, for the tests of its parts."""

import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Import the emulator with the settings that its server would set."""
    folder = tmp_path_factory.mktemp("ministack")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("STATE_DIR", "S3_DATA_DIR"):
            patch.setenv(name, str(folder))
        patch.setenv("GATEWAY_PORT", "4699")
        importlib.import_module("spotfleet.local.emulator.application")
        # What the process takes beside the application.
        importlib.import_module("spotfleet.local.emulator.state")
        yield importlib.import_module("spotfleet.local.emulator")

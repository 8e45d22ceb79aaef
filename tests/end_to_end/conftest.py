"""What every test of this folder needs."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def engine(docker_engine_running: None) -> None:
    """Have a Docker engine running."""

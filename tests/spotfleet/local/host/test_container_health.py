"""Container health is followed whatever happens to the engine, or to one event of it."""

import logging

import docker.errors
import pytest
from docker import DockerClient

from spotfleet.local.host import container_health


class Stopped(BaseException):
    """Ends what follows for ever."""


@pytest.mark.parametrize(
    ("error", "level"), [(docker.errors.DockerException("away"), logging.DEBUG), (KeyError("Action"), logging.WARNING)]
)
def test_one_failure_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, level: int
) -> None:
    endings: list[BaseException] = [error, Stopped()]

    def connect() -> DockerClient:
        raise endings.pop(0)

    monkeypatch.setattr(container_health, "AWAY_SECONDS", 0)
    with caplog.at_level(logging.DEBUG, logger="spotfleet.engine"), pytest.raises(Stopped):
        container_health.follow_for_ever("label", lambda _labels, _health: None, connect)
    assert [record.levelno for record in caplog.records] == [level]

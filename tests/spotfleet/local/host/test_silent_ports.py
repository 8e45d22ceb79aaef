"""Ports that answer nothing, as those of a machine that is gone."""

import socket

import pytest

from spotfleet.local.host import silent_ports


def test_a_silent_port_neither_takes_nor_refuses_a_connection() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert silent_ports.hold(port)
    try:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                socket.create_connection(("127.0.0.1", port), timeout=0.05)
    finally:
        silent_ports.release(port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    silent_ports.release(port)


def test_a_port_that_something_else_keeps_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silent_ports, "PATIENCE", 0.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert not silent_ports.hold(other.getsockname()[1])

"""Ports of this machine that a test may use."""

import secrets
import socket

# Below those that Linux gives to outgoing connections, one of which could take a port between its choice and its use.
PORTS = range(20000, 32768)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port

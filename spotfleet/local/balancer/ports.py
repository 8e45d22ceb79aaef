"""Which port of 127.0.0.1 stands for which port of which load balancer: 8080 for 80, 8443 for 443, then the next free.

Kept in a file, so that an address stays when the embedded AWS starts again.
"""

import json
import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

from spotfleet.local.host import paths
from spotfleet.local.host.console import Failure

HTTPS_PORT = 443
# The variables that choose the first port for a port on AWS, and their defaults.
VARIABLES = {80: ("LOCAL_HTTP_PORT", 8080), HTTPS_PORT: ("LOCAL_HTTPS_PORT", 8443)}
# Any other port below these needs rights that we may not have.
FIRST_UNPRIVILEGED = 1024
SHIFT = 8000

Key = tuple[str, int]


def first(aws_port: int) -> int:
    """Return the local port to begin the search with.

    Raises Failure when LOCAL_HTTP_PORT or LOCAL_HTTPS_PORT is not a port number.
    """
    if aws_port not in VARIABLES:
        return aws_port if aws_port >= FIRST_UNPRIVILEGED else aws_port + SHIFT
    variable, default = VARIABLES[aws_port]
    value = os.environ.get(variable) or str(default)
    if not value.isdecimal() or not 0 < int(value) <= paths.HIGHEST_PORT:
        raise Failure(f"{variable} is {value!r}: give a port number from 1 to {paths.HIGHEST_PORT}.")
    return int(value)


def is_free(port: int) -> bool:
    """Return whether we could listen on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def require_numbers() -> None:
    """Raise Failure when LOCAL_HTTP_PORT or LOCAL_HTTPS_PORT is not a port number."""
    for aws_port in VARIABLES:
        first(aws_port)


def require_free() -> None:
    """Raise Failure when a port where the first load balancer would answer is in use."""
    for aws_port, (variable, _default) in VARIABLES.items():
        port = first(aws_port)
        if not is_free(port):
            raise Failure(
                f"Port {port}, where the load balancer would answer, is not free: stop what "
                f"uses it, or choose another port with {variable}={port + 100}."
            )


def assign(wanted: Iterable[Key], kept: dict[Key, int], free: Callable[[int], bool] = is_free) -> dict[Key, int]:
    """Return a local port for each load balancer's port: the one that it has, or the next free one."""
    wanted = list(wanted)
    ports = {key: kept[key] for key in wanted if key in kept}
    for key in wanted:
        if key not in ports:
            port = first(key[1])
            while port in ports.values() or not free(port):
                port += 1
            ports[key] = port
    return ports


def _file() -> Path:
    return paths.state_folder() / "balancer.json"


def load() -> dict[Key, int]:
    """Return the assignment that was saved last; none when there is no readable one."""
    try:
        entries = json.loads(_file().read_text())
    except (OSError, ValueError):
        return {}
    return {(arn, int(aws_port)): port for arn, by_port in entries.items() for aws_port, port in by_port.items()}


def save(ports: dict[Key, int]) -> None:
    """Keep an assignment."""
    entries: dict[str, dict[int, int]] = {}
    for (arn, aws_port), port in ports.items():
        entries.setdefault(arn, {})[aws_port] = port
    temporary = _file().with_suffix(".new")
    temporary.write_text(json.dumps(entries, indent=1))
    temporary.replace(_file())


def url(arn: str) -> str | None:
    """Return where a load balancer answers, by HTTPS if it has such a listener, or None while it does not."""
    ports = {aws_port: port for (one, aws_port), port in load().items() if one == arn}
    if HTTPS_PORT in ports:
        return f"https://127.0.0.1:{ports[HTTPS_PORT]}/"
    return f"http://127.0.0.1:{ports[min(ports)]}/" if ports else None

"""Docker's HEALTHCHECK: exits 0 if the service answers 200, in a Python that imports next to nothing.

ECS does not read the image's HEALTHCHECK; the load balancer's health check and the task definition's are its own.
"""

import os
import socket
import sys

HOST = os.environ.get("HOST", "")
# Of a service on every interface, one that is certainly there.
ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(HOST, HOST)  # noqa: S104

with socket.create_connection((ADDRESS, int(os.environ.get("PORT", "5000"))), timeout=4) as connection:
    connection.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    sys.exit(0 if b" 200 " in connection.recv(64) else 1)

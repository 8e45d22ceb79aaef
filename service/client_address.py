"""Which address a request comes from, as the load balancer has seen it."""

import re

from aiohttp import web
from multidict import istr

FORWARDED_FOR = istr("X-Forwarded-For")
# 192.0.2.1:443, [2001:db8::1]:443 or [2001:db8::1]: a load balancer can be told to add the port
# (routing.http.xff_client_port.enabled).
WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([\d.]+):\d+", re.ASCII)
# What a socket for both families calls an IPv4 address.
IPV4_MAPPED = "::ffff:"


def client_address(request: web.BaseRequest, trusted_proxies: int) -> str:
    """Return the address of the client.

    Each proxy appends to X-Forwarded-For whom it has the request from, as AWS's load balancer does
    (https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html), and several lines
    of it are one list (RFC 9110, section 5.3). So the address is that many from the end as there are trusted proxies;
    what is before it may be made up. Without the header it is the other side of the connection.
    """
    lines = request.headers.getall(FORWARDED_FOR, ()) if trusted_proxies else ()
    addresses = [address for line in lines for part in line.split(",") if (address := part.strip())]
    if not addresses:
        return (request.remote or "").removeprefix(IPV4_MAPPED)
    return without_port(addresses[max(-trusted_proxies, -len(addresses))])


def without_port(address: str) -> str:
    """Return `address` without its port and brackets."""
    match = WITH_PORT.fullmatch(address) if ":" in address else None
    return match[1] or match[2] if match else address

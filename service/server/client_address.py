"""Which address a request comes from, as the load balancer has seen it."""

import re
from collections.abc import Sequence

# 192.0.2.1:443, [2001:db8::1]:443 or [2001:db8::1]: a load balancer can be told to add the port
# (routing.http.xff_client_port.enabled).
WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([\d.]+):\d+", re.ASCII)
# What a socket for both families calls an IPv4 address.
IPV4_MAPPED = "::ffff:"


def forwarded_for(lines: Sequence[str], trusted_proxies: int) -> str:
    """Return the address of the client after the `lines` of X-Forwarded-For, nothing if they hold none.

    Each proxy appends to the header whom it has the request from, as AWS's load balancer does
    (https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html), and several lines
    of it are one list (RFC 9110, section 5.3). So the address is that many from the end as there are trusted proxies;
    what is before it may be made up.
    """
    if trusted_proxies == 0:
        return ""
    text = lines[0] if len(lines) == 1 else ",".join(lines)
    if "," in text:
        addresses = [address for part in text.split(",") if (address := part.strip())]
        text = addresses[max(-trusted_proxies, -len(addresses))] if addresses else ""
    return without_port(text) if ":" in text else text


def other_side(remote: str | None) -> str:
    """Return the address of the other side of a connection, which is nobody's word but the kernel's."""
    return (remote or "").removeprefix(IPV4_MAPPED)


def without_port(address: str) -> str:
    """Return `address` without its port and brackets."""
    match = WITH_PORT.fullmatch(address)
    return match[1] or match[2] if match else address

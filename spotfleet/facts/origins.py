"""What an origin of a page is: the one definition for the setting `cors_origins` and for the service that gets it.

The image of the service has this file too, and nothing else of this folder, so it imports none of it.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

ANY = "*"
DEFAULT_PORTS = {"http": 80, "https": 443}
ORIGIN = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>\[[^\[\]]*\]|[^\[\]:/?#@\\]*)(:(?P<port>[^:/?#@]*))?"
)
PORT = re.compile(r"[0-9]{1,10}")
HIGHEST_PORT = 65535
HOST_NAME = re.compile(r"(?!.{254})([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?")
# https://url.spec.whatwg.org/#ends-in-a-number-checker: such a host is an address, or none.
NUMBER_AT_THE_END = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?")
WHITE_SPACE = " "


def parse_origins(text: str) -> tuple[str, ...]:
    """Return the origins in a comma-separated `text` as browsers send them, or ("*",) for any; each only once.

    Browsers write scheme and host in lower case and leave out a port that is the scheme's own
    (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin). Raises ValueError that says what `text` must be.
    """
    parts = [part.strip(WHITE_SPACE) for part in text.split(",")]
    if parts == [ANY]:
        return (ANY,)
    if ANY in parts:
        raise _wrong(text, "* stands for any origin, and alone")
    return tuple(dict.fromkeys(parse_origin(part) for part in parts))


def parse_origin(text: str) -> str:
    """Return one origin as browsers send it. Raises ValueError that says what it must be."""
    if not text:
        raise _wrong(text, "an origin is missing before or after a comma, or altogether")
    if text.lower() == "null":
        raise _wrong(text, "any site can give a page of its own that origin")
    match = ORIGIN.fullmatch(text)
    if match is None:
        raise _wrong(text, "it is scheme, host and perhaps a port, without a path, a slash at the end or a user")
    scheme = match["scheme"].lower()
    if scheme not in DEFAULT_PORTS:
        raise _wrong(text, "it begins with http:// or https://")
    host = _host(text, match["host"].lower())
    if match["port"] is None:
        return f"{scheme}://{host}"
    if not (PORT.fullmatch(match["port"]) and 0 < int(match["port"]) <= HIGHEST_PORT):
        raise _wrong(text, f"a port is a number from 1 to {HIGHEST_PORT}")
    port = int(match["port"])
    return f"{scheme}://{host}" if port == DEFAULT_PORTS[scheme] else f"{scheme}://{host}:{port}"


def _host(text: str, host: str) -> str:
    if host.startswith("["):
        return f"[{_ipv6_address(text, host[1:-1])}]"
    if not host.isascii():
        raise _wrong(text, "browsers send an international name in ASCII, such as xn--bcher-kva.example")
    if "*" in host:
        raise _wrong(text, "* stands for any origin, not for a part of one")
    if NUMBER_AT_THE_END.fullmatch(host):
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise _wrong(text, "an IPv4 address has four numbers, such as 192.0.2.1") from None
    if not HOST_NAME.fullmatch(host):
        raise _wrong(text, "a host name has letters, digits, hyphens and dots, such as app.example.com")
    return host


def _ipv6_address(text: str, address: str) -> str:
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        parsed = None
    if parsed is None or parsed.scope_id is not None:
        raise _wrong(text, "an IPv6 address is written such as [2001:db8::1]")
    if parsed.ipv4_mapped is None:
        return str(parsed)
    # Python writes these in another way from version 3.13 on, and browsers only in this one.
    high, low = divmod(int(parsed.ipv4_mapped), 1 << 16)
    return f"::ffff:{high:x}:{low:x}"


def _wrong(text: str, rule: str) -> ValueError:
    return ValueError(f"must be * or origins such as https://example.com, comma-separated, not {text[:100]!r}: {rule}")

"""What HAProxy answers by itself, in ALB's codes and within ALB's limits, and counts of it.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
HAProxy 2.6 has 503 for every connection that fails, 16 KiB for all headers, and counts answers by class only.

HAProxy closes a client's connection without a word where a target sends nothing, unless it is the connection's first
request: no_answer.lua answers in its place. It looks only at requests whose target has ended the connection.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from spotfleet.local.balancer.haproxy_syntax import Line, line

# What ALB waits for a connection to a target (rule L6).
CONNECT_SECONDS = 10
# Rule L7.
LONGEST_LINE = LONGEST_HEADER = 16 * 1024
ALL_HEADERS = 64 * 1024
ALL_ANSWER_HEADERS = 32 * 1024
# A request's line and headers, what is added to them, and room to spare; HAProxy has two of them for a request.
BUFFER_BYTES = 96 * 1024
# What a request line has beside its address: the longest method that is usual, the version, two spaces.
AROUND_ADDRESS = len("OPTIONS  HTTP/1.1")
# Of one HTTP/2 connection, before it is told to go (rule L10).
MOST_REQUESTS = 10_000
# The codes of which ELB has a metric each.
CODES = (500, 502, 503, 504)
# Longer than any answer is waited for, and HAProxy's longest time.
EVER = "24d"
# What HAProxy's clock may be behind.
ROUNDING_MS = 5
LUA = Path(__file__).with_name("no_answer.lua")

NOT_ANSWERED = ("!{", "var(txn.answered)", "-m", "found", "}")
NO_ANSWER = "<html><body><h1>No answer</h1>\nNo target has answered this request.\n</body></html>\n"


def counter(frontend: str, code: int) -> str:
    """Return the variable of the process that counts how often a frontend has answered so by itself."""
    return f"proc.own_{code}_{hashlib.sha256(frontend.encode()).hexdigest()[:16]}"


def global_lines(configuration: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines of the section global for a configuration's other lines: all that counts begins at 0."""
    yield line("tune.bufsize", BUFFER_BYTES)
    yield line("lua-load", str(LUA))
    for section, _, name in (one.partition(" ") for one in configuration):
        for code in CODES if section == "frontend" else ():
            yield line("set-var", counter(name, code), "int(0)")


def default_lines() -> Iterator[Line]:
    """Yield the lines of the section defaults."""
    yield line("timeout", "connect", f"{CONNECT_SECONDS}s")
    # As ALB: a request that could not be delivered is the client's to repeat.
    yield line("retries", 0)
    # A client that leaves before its answer ends its request, which counts as refused: ALB's 460.
    yield line("option", "abortonclose")
    # Whether there was no target or none that could be reached, it is one page; the status tells.
    yield line("http-error", "status", 503, "content-type", "text/html", "lf-string", NO_ANSWER)


def frontend_lines(name: str, client_keep_alive: float) -> Iterator[Line]:
    """Yield the lines of a frontend, before its rules: limits, the age of connections (rule L10), counters.

    `client_keep_alive` is in real seconds.
    """
    line_limit = f"gt {LONGEST_LINE - AROUND_ADDRESS}".split()
    yield line("http-request", "return", "status", 400, "if", "{", "url,length", *line_limit, "}")
    size = "req.hdrs,length"
    yield line("http-request", "return", "status", 400, "if", "{", size, "gt", ALL_HEADERS, "}")
    one = ("{", "req.hdrs", "-m", "reg", "--", f"[^\\r\\n]{{{LONGEST_HEADER + 1}}}", "}")
    # The expression looks at long headers only: it reads them all.
    yield line("http-request", "return", "status", 400, "if", "{", size, "gt", LONGEST_HEADER, "}", *one)
    yield line(
        "http-request", "set-var(sess.since)", "date(0,ms)", "unless", "{", "var(sess.since)", "-m", "found", "}"
    )
    # Not what turns the connection into another protocol's.
    old = ("!{", "status", 101, "}", "{", "date(0,ms),sub(sess.since)", "ge", round(client_keep_alive * 1000), "}")
    yield line("http-after-response", "set-header", "Connection", "close", "if", *old)
    yield from _goodbye()
    for code in CODES:
        own = ("if", "{", "status", code, "}", *NOT_ANSWERED)
        count = counter(name, code)
        yield line("http-after-response", f"set-var({count})", f"var({count}),add(1)", *own)


def _goodbye() -> Iterator[Line]:
    """Yield the lines that end an HTTP/2 connection with GOAWAY after so many requests.

    HAProxy cannot do that without refusing a request: the first one that comes while no other waits for its answer, or
    any once a tenth more have come.
    """
    http2 = ("{", "fc_http_major", 2, "}")
    for number in ("sess.requests", "sess.answers"):
        first = ("!{", f"var({number})", "-m", "found", "}")
        yield line("http-request", f"set-var({number})", "int(0)", "if", *http2, *first)
    yield line("http-request", "set-var(sess.requests)", "var(sess.requests),add(1)", "if", *http2)
    yield line("http-after-response", "set-var(sess.answers)", "var(sess.answers),add(1)", "if", *http2)
    last = ("{", "var(sess.requests)", "-m", "int", "gt", MOST_REQUESTS, "}")
    alone = ("{", "var(sess.requests),sub(sess.answers)", "le", 1, "}")
    yield line("http-request", "reject", "if", *http2, *last, *alone)
    late = ("{", "var(sess.requests)", "-m", "int", "gt", MOST_REQUESTS * 11 // 10, "}")
    yield line("http-request", "reject", "if", *http2, *late)


def backend_lines(idle_timeout: int) -> Iterator[Line]:
    """Yield the lines of a backend: 502 where a target refuses or ends, 504 where it is silent, 503 without a target.

    `idle_timeout` is in seconds.
    """
    # Its targets speak HTTP/1.1 (rule L7).
    grpc = ("{", "fc_http_major", 2, "}", "{", "req.hdr(content-type)", "-m", "beg", "application/grpc", "}")
    yield line("http-request", "return", "status", 464, "if", *grpc)
    yield line("http-request", "set-var(txn.began)", "date(0,ms)")
    # A little less: the wait for an answer begins with the request's end.
    yield line("http-request", "set-var(txn.patience)", f"int({idle_timeout * 1000 - ROUNDING_MS})")
    yield line("tcp-response", "inspect-delay", EVER)
    yield line("tcp-response", "content", "lua.no_answer", "unless", "{", "status", "-m", "found", "}")
    size = ("{", "res.hdrs,length", "gt", ALL_ANSWER_HEADERS, "}")
    yield line("http-response", "return", "status", 502, "if", *size)
    yield line("http-response", "set-var(txn.answered)", "bool(true)")
    yield line("http-after-response", "set-var(txn.took)", "date(0,ms),sub(txn.began)")
    failed = ("{", "status", 503, "}", *NOT_ANSWERED, "{", "srv_id", "-m", "found", "}")
    waited = ("{", "var(txn.took)", "-m", "int", "ge", CONNECT_SECONDS * 1000, "}")
    yield line("http-after-response", "set-status", 504, "if", *failed, *waited)
    yield line("http-after-response", "set-status", 502, "if", *failed)

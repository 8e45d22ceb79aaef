"""What HAProxy answers by itself, in ALB's codes and within ALB's limits, and counts of it.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
HAProxy 2.6 has 503 for every connection that fails, 16 KiB for all headers, and counts answers by class only.

One thing stays HAProxy's: where a target ends a connection in the place of an answer, and it is not the first request
on its client's connection, the client gets no 502: HAProxy closes that connection, for the client to repeat, and does
neither count nor log the request. No setting of it changes that. Here such requests are counted as lost; metrics have
them as 502.
"""

import hashlib
from collections.abc import Iterable, Iterator

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
# The codes of which ELB has a metric each.
CODES = (500, 502, 503, 504)
# What frontends and backends count, by what HAProxy's statistics call them: answers by code, and requests without one.
LOST = "lost"
KINDS = {"FRONTEND": tuple(map(str, CODES)), "BACKEND": (LOST,)}

NOT_ANSWERED = ("!{", "var(txn.answered)", "-m", "found", "}")
NO_ANSWER = "<html><body><h1>No answer</h1>\nNo target has answered this request.\n</body></html>\n"


def counter(proxy: str, kind: str) -> str:
    """Return the variable of the process that counts what a frontend or backend does by itself."""
    return f"proc.own_{kind}_{hashlib.sha256(proxy.encode()).hexdigest()[:16]}"


def global_lines(configuration: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines of the section global for a configuration's other lines: all that counts begins at 0."""
    yield line("tune.bufsize", BUFFER_BYTES)
    kinds = {"frontend": KINDS["FRONTEND"], "backend": ("began", "ended", LOST)}
    for section, _, name in (one.partition(" ") for one in configuration):
        for kind in kinds.get(section, ()):
            yield line("set-var", counter(name, kind), "int(0)")


def default_lines() -> Iterator[Line]:
    """Yield the lines of the section defaults."""
    yield line("timeout", "connect", f"{CONNECT_SECONDS}s")
    # As ALB: a request that could not be delivered is the client's to repeat.
    yield line("retries", 0)
    # Whether there was no target or none that could be reached, it is one page; the status tells.
    yield line("http-error", "status", 503, "content-type", "text/html", "lf-string", NO_ANSWER)


def frontend_lines(name: str, client_keep_alive: int) -> Iterator[Line]:
    """Yield the lines of a frontend, before its rules: limits, the age of connections (rule L10), counters."""
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
    old = ("!{", "status", 101, "}", "{", "date(0,ms),sub(sess.since)", "ge", client_keep_alive * 1000, "}")
    yield line("http-after-response", "set-header", "Connection", "close", "if", *old)
    for code in CODES:
        own = ("if", "{", "status", code, "}", *NOT_ANSWERED)
        yield _one_more("http-after-response", counter(name, str(code)), *own)


def backend_lines(name: str) -> Iterator[Line]:
    """Yield the lines of a backend: 502 where a target refuses, 504 where it is silent, 503 without a target."""
    yield from _lost_requests(name)
    yield line("http-request", "set-var(txn.began)", "date(0,ms)")
    size = ("{", "res.hdrs,length", "gt", ALL_ANSWER_HEADERS, "}")
    yield line("http-response", "return", "status", 502, "if", *size)
    yield line("http-response", "set-var(txn.answered)", "bool(true)")
    yield line("http-after-response", "set-var(txn.took)", "date(0,ms),sub(txn.began)")
    failed = ("{", "status", 503, "}", *NOT_ANSWERED, "{", "srv_id", "-m", "found", "}")
    waited = ("{", "var(txn.took)", "-m", "int", "ge", CONNECT_SECONDS * 1000, "}")
    yield line("http-after-response", "set-status", 504, "if", *failed, *waited)
    yield line("http-after-response", "set-status", 502, "if", *failed)


def _lost_requests(name: str) -> Iterator[Line]:
    """Yield the lines that count requests without any answer: those that began, did not end and are not open.

    Each request looks at those before it, so the last one shows with the next. While answers are on their way, fewer
    show than there are, never more: HAProxy, with one thread, runs these lines together.
    """
    began, ended, lost = (counter(name, kind) for kind in ("began", "ended", LOST))
    yield _one_more("http-request", began)
    yield _one_more("http-after-response", ended)
    yield line("http-request", "set-var(txn.open)", f"be_conn({name})")
    yield line("http-request", "set-var(txn.lost)", f"var({began}),sub({ended}),sub(txn.open)")
    more = ("if", "{", f"var(txn.lost),sub({lost})", "gt", "0", "}")
    yield line("http-request", f"set-var({lost})", "var(txn.lost)", *more)


def _one_more(rules: str, variable: str, *condition: str | int) -> Line:
    return line(rules, f"set-var({variable})", f"var({variable}),add(1)", *condition)

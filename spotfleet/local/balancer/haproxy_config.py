"""HAProxy's configuration for what ELBv2 wants: https://docs.haproxy.org/2.6/configuration.html

Rules are chosen in two steps. The first rule of a listener whose conditions hold leaves its number in a variable; then
the variable decides. HAProxy would otherwise run all answers and redirects before any forwarding, whatever the order.

What cannot be written is left out, with a line in the log: one rule or group must not stop all others. The API refuses
such values before (local.elbv2_validation).
"""

import functools
import hashlib
import logging
import math
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from spotfleet.local.balancer import haproxy_answers, proxies
from spotfleet.local.balancer.haproxy_syntax import (
    Line,
    Unwritable,
    argument,
    field_name,
    field_value,
    line,
    literal,
    section,
)
from spotfleet.local.balancer.wanted import Group, Listener, LoadBalancer, Rule, Wanted
from spotfleet.local.host import clock

logger = logging.getLogger("spotfleet.balancer")

CHARACTER_FOR = {"*": ".*", "?": "."}
# Within a key or a value of a query string.
QUERY_CHARACTER_FOR = {"*": "[^&]*", "?": "[^&]"}
HTTPS_PORT = 443
# What HAProxy adds to targets' names and health checks: 1 to 256.
FULL_WEIGHT = 100
# Where HAProxy keeps its last requests: a running number, the target group, the target's time in milliseconds.
RING = "requests"
RING_BYTES = 65536
# Of a group's interval, in which a new target is checked first.
FIRST_CHECK_SHARE = 0.2
ALGORITHMS = {"round_robin": "roundrobin", "least_outstanding_requests": "leastconn"}
REDIRECT_CODES = {"HTTP_301": 301, "HTTP_302": 302}
PROTOCOLS = ("HTTP", "HTTPS")
NO_CONTENT = 204
# Statuses that HAProxy can answer and check.
STATUSES = range(200, 600)
HIGHEST_PORT = 65535
# X-Forwarded-For with more addresses is answered with 463:
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
MAX_FORWARDED = 30
FORWARDED_FOR = "X-Forwarded-For"

# The local port of a balancer's port: (balancer's ARN, port on AWS) -> port.
Ports = Mapping[tuple[str, int], int]
Words = tuple[str, ...]

# What is raised where ELBv2 says something that no configuration can hold.
UNUSABLE = (Unwritable, LookupError)


@functools.lru_cache(maxsize=256)
def _warn_once(text: str) -> None:
    """Log what is left out: the configuration is made in every step, and this is news only once."""
    logger.warning(text)


def render(
    wanted: Wanted, ports: Ports, socket: str, certificate: Path | None, servers: Mapping[str, list[Line]]
) -> str:
    """Return the configuration.

    `servers` holds, by backend, the `server` lines that a new process starts with; targets that come and go later
    are told over `socket`, a file in HAProxy's folder. The description, by which a running process is recognised,
    depends on all the rest.
    """
    head = list(_defaults())
    blocks = dict(_backends(wanted))
    groups = {arn: group for arn, group in wanted.groups.items() if proxies.Backend(group.backend, 0).name in blocks}
    body = [
        one
        for balancer in wanted.balancers
        for listener in balancer.listeners
        if (balancer.arn, listener.port) in ports
        for one in _writable_frontend(balancer, listener, ports, certificate, groups)
    ]
    fixed = "\n".join([*head, *body, *(one for block in blocks.values() for one in block)])
    description = hashlib.sha256(fixed.encode()).hexdigest()[:20]
    with_servers = [one for name, block in blocks.items() for one in [*block, *servers.get(name, [])]]
    own = haproxy_answers.global_lines([*body, *with_servers])
    return "\n".join([*_global(wanted, socket, description), *own, *head, *body, *with_servers, ""])


def description(configuration: str) -> str:
    """Return by what a process that runs a configuration is recognised."""
    found = re.search(r"^  description (\S+)$", configuration, re.MULTILINE)
    return found[1] if found else ""


def idle_timeout(wanted: Wanted, group: Group | None = None) -> int:
    """Return the seconds after which load balancers close connections without traffic, the longest of those of a group.

    Of a group that no rule leads to it is the longest of all.
    A client's connection and a target's wait equally long: an answer that takes longer is a 504 on AWS too.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html
    """
    of_group = [balancer for balancer in wanted.balancers if group and group.arn in balancer.group_arns]
    return max(math.ceil(balancer.idle_timeout) for balancer in of_group or wanted.balancers)


def _global(wanted: Wanted, socket: str, text: str) -> Iterator[Line]:
    yield section("global")
    yield line("description", text)
    yield line("stats", "socket", f"unix@{socket}", "mode", 600, "level", "admin", "expose-fd", "listeners")
    # One carries what a laptop's tasks can answer, with less work per request than several that share connections.
    yield line("nbthread", 1)
    # How long requests of before a change of the rules may take.
    yield line("hard-stop-after", f"{idle_timeout(wanted)}s")
    # Otherwise a new target's first check would come a whole interval late.
    soonest = min((earliest_check(group) for group in wanted.groups.values()), default=1.0)
    yield line("max-spread-checks", _milliseconds(soonest))


def earliest_check(group: Group) -> float:
    """Return how many of AWS's seconds after it has been added a target is checked first, at most.

    The checks of a new worker begin within as long, one after the other.
    """
    return group.interval * FIRST_CHECK_SHARE


def _defaults() -> Iterator[Line]:
    yield section("ring", RING)
    yield line("format", "raw")
    yield line("maxlen", 200)
    yield line("size", RING_BYTES)
    yield section("defaults")
    yield line("log", f"ring@{RING}", "format", "raw", "local0")
    yield line("log-format", "%rt %b %Tr")
    yield line("mode", "http")
    yield from haproxy_answers.default_lines()
    # A change of the rules must not close a connection on which the next request is already under way.
    yield line("option", "idle-close-on-response")


# --- Listeners


def _writable_frontend(
    balancer: LoadBalancer, listener: Listener, ports: Ports, certificate: Path | None, groups: Mapping[str, Group]
) -> list[Line]:
    try:
        return list(_frontend(balancer, listener, ports, certificate, groups))
    except Unwritable as error:
        _warn_once(f"The listener {listener.arn} is left out: {error}.")
        return []


def _frontend(
    balancer: LoadBalancer, listener: Listener, ports: Ports, certificate: Path | None, groups: Mapping[str, Group]
) -> Iterator[Line]:
    local_port = ports[balancer.arn, listener.port]
    tls = ["ssl", "crt", str(certificate), "alpn", "h2,http/1.1"] if listener.secure and certificate else []
    yield section("frontend", frontend(balancer, listener.port))
    yield line("bind", f"127.0.0.1:{local_port}", *tls)
    yield line("timeout", "client", f"{math.ceil(balancer.idle_timeout)}s")
    # Which node a client has connected to: one of the addresses that AWS's name servers give it, at random.
    yield line("tcp-request", "connection", "set-var(sess.node)", f"rand({balancer.nodes})")
    yield from haproxy_answers.frontend_lines(
        frontend(balancer, listener.port), clock.seconds(balancer.client_keep_alive)
    )
    yield from _request_headers(balancer, listener)
    yield from _trace()
    yield from _rules(balancer, listener, ports, groups)
    for header, value in listener.response_headers:
        # In every response, the load balancer's own included, whatever the target says:
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/header-modification.html#insert-header
        yield line("http-after-response", "set-header", header, literal(value))


def frontend(balancer: LoadBalancer, port: int) -> str:
    """Return the name of a listener's frontend."""
    return f"{balancer.name.replace('/', '.')}:{port}"


def _request_headers(balancer: LoadBalancer, listener: Listener) -> Iterator[Line]:
    """https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html"""
    too_many = (f"req.hdr_cnt({FORWARDED_FOR})", "gt", MAX_FORWARDED)
    yield line("http-request", "return", "status", 463, "if", "{", *too_many, "}")
    if balancer.drops_invalid_headers:
        # Servers read X_Forwarded_For as X-Forwarded-For too.
        yield line("http-request", "del-header", "[^A-Za-z0-9-]", "-m", "reg")
    yield line("http-request", "set-header", "X-Forwarded-Proto", "https" if listener.secure else "http")
    yield line("http-request", "set-header", "X-Forwarded-Port", listener.port)
    match balancer.forwarded_for:
        case "remove":
            yield line("http-request", "del-header", FORWARDED_FOR)
        case "append":
            yield from _append_client(balancer.forwards_client_port)


def _append_client(with_port: bool) -> Iterator[Line]:
    """Make one header of all that came, which ends with the client's address: `option forwardfor` would add another."""
    client = "%[src]:%[src_port]" if with_port else "%[src]"
    came = ("if", "{", f"req.fhdr_cnt({FORWARDED_FOR})", "gt", "0", "}")
    # Headers that are not there are empty, and leave commas at the end.
    each = [f"%[req.fhdr({FORWARDED_FOR},{number})]" for number in range(1, MAX_FORWARDED + 1)]
    yield line("http-request", "set-var-fmt(txn.addresses)", ", ".join(each), *came)
    trimmed = f"var(txn.addresses),regsub({argument('[, ]+$')},)"
    yield line("http-request", "set-var(txn.addresses)", trimmed, *came)
    known = ("{", "var(txn.addresses)", "-m", "len", "gt", "0", "}")
    joined = f"%[var(txn.addresses)], {client}"
    yield line("http-request", "set-header", FORWARDED_FOR, joined, "if", *known)
    yield line("http-request", "set-header", FORWARDED_FOR, client, "unless", *known)


def _trace() -> Iterator[Line]:
    """https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html"""
    missing = ("unless", "{", "req.hdr(X-Amzn-Trace-Id)", "-m", "found", "}")
    yield line("http-request", "set-var-fmt(txn.trace)", "%[uuid,regsub(-,,g)]", *missing)
    trace = "Root=1-%[var(txn.trace),bytes(0,8)]-%[var(txn.trace),bytes(8,24)]"
    yield line("http-request", "set-header", "X-Amzn-Trace-Id", trace, *missing)


# --- Rules


def _rules(balancer: LoadBalancer, listener: Listener, ports: Ports, groups: Mapping[str, Group]) -> Iterator[Line]:
    actions: list[Line] = []
    for number, rule in enumerate(listener.rules):
        try:
            conditions = list(_conditions(number, rule))
        except UNUSABLE as error:
            _warn_once(f"The rule {rule.priority} of {listener.arn} is left out: {error}.")
            continue
        yield from conditions
        chosen = ("if", "{", "var(txn.rule)", "-m", "int", str(number), "}")
        try:
            actions += _action(rule, balancer, listener, ports, groups, chosen)
        except UNUSABLE as error:
            # Requests that are this rule's must not fall to another one's.
            _warn_once(f"The rule {rule.priority} of {listener.arn} answers 500: {error}.")
            actions.append(line("http-request", "return", "status", 500, *chosen))
    # HAProxy warns when they stand in another order, in which it would run them all the same.
    yield from sorted(actions, key=lambda one: one.startswith("  use_backend"))


def _conditions(number: int, rule: Rule) -> Iterator[Line]:
    names = []
    for index, condition in enumerate(rule.conditions):
        names.append(f"rule{number}_{index}")
        for test in _tests(condition):
            yield line("acl", names[-1], *test)
    still_free = ("!{", "var(txn.rule)", "-m", "found", "}")
    yield line("http-request", "set-var(txn.rule)", f"int({number})", "if", *still_free, *names)


def _tests(condition: Mapping[str, Any]) -> list[Words]:
    """Return the tests of a condition, of which one has to hold."""
    match condition["Field"]:
        case "path-pattern":
            found = list(_patterns("path", condition, "PathPatternConfig", ()))
        case "host-header":
            found = list(_patterns("req.hdr(host),field(1,:)", condition, "HostHeaderConfig", ("-i",)))
        case "http-header":
            header = condition["HttpHeaderConfig"]["HttpHeaderName"]
            found = list(_patterns(f"req.fhdr({argument(field_name(header))})", condition, "HttpHeaderConfig", ("-i",)))
        case "http-request-method":
            found = [("method", "-m", "str", "--", value) for value in _values(condition, "HttpRequestMethodConfig")]
        case "query-string":
            pairs = condition["QueryStringConfig"]["Values"]
            found = [("query", "-m", "reg", "-i", "--", _query_expression(pair)) for pair in pairs]
        case "source-ip":
            found = [("src", "--", _network(value)) for value in _values(condition, "SourceIpConfig")]
        case other:
            raise Unwritable(f"the condition {other} of a listener rule is not known here")
    if not found:
        raise Unwritable(f"the condition {condition['Field']} has no value")
    return found


def _values(condition: Mapping[str, Any], config: str) -> list[str]:
    values: list[str] = condition.get(config, {}).get("Values") or condition.get("Values", [])
    return values


def _patterns(sample: str, condition: Mapping[str, Any], config: str, flags: Words) -> Iterator[Words]:
    for value in _values(condition, config):
        yield (sample, "-m", "reg", *flags, "--", f"^{_expression(value, CHARACTER_FOR)}$")
    for value in expressions(condition):
        yield (sample, "-m", "reg", *flags, "--", value)


def expressions(condition: Mapping[str, Any]) -> list[str]:
    """Return the regular expressions of a condition."""
    configs = [value for value in condition.values() if isinstance(value, Mapping)]
    return [text for place in (condition, *configs) for text in place.get("RegexValues") or []]


def _expression(pattern: str, characters: Mapping[str, str]) -> str:
    """Return a pattern with the wildcards * and ? as a regular expression; a backslash makes a wildcard plain."""
    parts = re.findall(r"\\[*?\\]|.", pattern, re.DOTALL)
    return "".join(characters.get(part) or re.escape(part[-1]) for part in parts)


def _query_expression(pair: Mapping[str, str]) -> str:
    value = _expression(pair["Value"], QUERY_CHARACTER_FOR)
    key = _expression(pair["Key"], QUERY_CHARACTER_FOR) if pair.get("Key") else "[^&=]*"
    return f"(^|&){key}={value}(&|$)"


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError as error:
        raise Unwritable(str(error)) from None


# --- Actions


def _action(
    rule: Rule,
    balancer: LoadBalancer,
    listener: Listener,
    ports: Ports,
    groups: Mapping[str, Group],
    chosen: Words,
) -> list[Line]:
    match rule.action["Type"]:
        case _ if rule.rewrites:
            return [_unknown("the transforms of rules", chosen)]
        case "fixed-response":
            return [_fixed_response(rule.action["FixedResponseConfig"], listener, chosen)]
        case "redirect":
            return list(_redirect(rule.action["RedirectConfig"], balancer, listener, ports, chosen))
        case "forward":
            weighted = [(groups[arn], weight) for arn, weight in rule.groups if arn in groups and weight]
            return list(_forward(weighted, balancer.nodes, chosen))
        case other:
            return [_unknown(f"the action {other}", chosen)]


def _unknown(what: str, chosen: Words) -> Line:
    """Answer what would otherwise reach a target that it must not reach, or not in this form."""
    answer = ("status", "501", "content-type", "text/plain", "string")
    return line("http-request", "return", *answer, f"The local load balancer does not know {what}.", *chosen)


def _fixed_response(config: Mapping[str, Any], listener: Listener, chosen: Words) -> Line:
    status = _number(config["StatusCode"], STATUSES)
    body = config.get("MessageBody")
    payload: Words = ()
    if body and status != NO_CONTENT:
        payload = ("content-type", field_value(config.get("ContentType") or "text/plain"), "string", body)
    server = ("hdr", "Server", "awselb/2.0") if listener.names_server else ()
    return line("http-request", "return", "status", status, *payload, *server, *chosen)


def _number(text: str, allowed: range) -> int:
    """Return a number; raises Unwritable when it is none of those allowed."""
    if not (re.fullmatch("[0-9]{1,9}", text) and int(text) in allowed):
        raise Unwritable(f"{text!r} is no number from {allowed.start} to {allowed.stop - 1}")
    return int(text)


def _redirect(
    config: Mapping[str, Any], balancer: LoadBalancer, listener: Listener, ports: Ports, chosen: Words
) -> Iterator[Line]:
    """Send the client elsewhere; a port of this load balancer becomes the local one that stands for it."""
    own = {"#{protocol}": "HTTPS" if listener.secure else "HTTP", "#{port}": str(listener.port)}
    protocol = config.get("Protocol", "#{protocol}").replace("#{protocol}", own["#{protocol}"])
    code = REDIRECT_CODES.get(config["StatusCode"])
    if protocol not in PROTOCOLS or code is None:
        raise Unwritable(f"{protocol!r} or {config['StatusCode']!r} cannot be that of a redirect")
    port = _number(config.get("Port", "#{port}").replace("#{port}", own["#{port}"]), range(1, HIGHEST_PORT + 1))
    location = f"{protocol.lower()}://{_format(config.get('Host', '#{host}'), own)}"
    location += f":{ports.get((balancer.arn, port), port)}{_format(config.get('Path', '/#{path}'), own)}"
    yield line("http-request", "set-var-fmt(txn.query)", _format(config.get("Query", "#{query}"), own), *chosen)
    with_query = (*chosen, "{", "var(txn.query)", "-m", "len", "gt", "0", "}")
    yield line("http-request", "redirect", "location", f"{location}?%[var(txn.query)]", "code", code, *with_query)
    yield line("http-request", "redirect", "location", location, "code", code, *chosen)


def _format(text: str, own: Mapping[str, str]) -> str:
    """Return a redirect's part as an HAProxy format."""
    samples = {
        "#{host}": "%[req.hdr(host),field(1,:)]",
        "#{path}": "%[path,regsub(^/,)]",
        "#{query}": "%[query]",
        "#{port}": own["#{port}"],
        "#{protocol}": own["#{protocol}"].lower(),
    }
    parts = re.split(r"(#\{\w+\})", text)
    return "".join(samples.get(part) or literal(part) for part in parts)


def _forward(groups: list[tuple[Group, int]], nodes: int, chosen: Words) -> Iterator[Line]:
    if not groups:
        yield line("http-request", "return", "status", 503, *chosen)
        return
    total = sum(weight for _group, weight in groups)
    if len(groups) > 1:
        yield line("http-request", "set-var(txn.share)", f"rand({total})", *chosen)
    below = 0
    for group, weight in groups:
        below += weight
        share = () if below == total else ("{", "var(txn.share)", "-m", "int", "lt", str(below), "}")
        yield from _use_backends(group, nodes, (*chosen, *share))


def _use_backends(group: Group, nodes: int, chosen: Words) -> Iterator[Line]:
    """Send a request that is for a group to the backend of the node that its client is connected to."""
    for backend in proxies.of_group(group.backend, nodes):
        last = backend.node == nodes - 1
        node = () if last else ("{", "var(sess.node)", "-m", "int", str(backend.node), "}")
        closed = ("{", f"nbsrv({backend.name})", "eq", "0", "}", "{", f"nbsrv({backend.open})", "gt", "0", "}")
        yield line("use_backend", backend.open, *chosen, *node, *closed)
        yield line("use_backend", backend.name, *chosen, *node)


# --- Target groups


def _backends(wanted: Wanted) -> Iterator[tuple[str, list[Line]]]:
    """Yield the backends of every target group that can be written, each with its lines."""
    for arn, group in wanted.groups.items():
        timeout = idle_timeout(wanted, group)
        try:
            # All of a group's or none.
            yield from [
                one
                for backend in proxies.of_group(group.backend, wanted.nodes(arn))
                for one in (
                    (backend.open, list(_backend(backend.open, group, timeout))),
                    (backend.name, [*_backend(backend.name, group, timeout), *_checks(group)]),
                )
            ]
        except UNUSABLE as error:
            _warn_once(f"The target group {arn} is left out: {error}.")


def _backend(name: str, group: Group, timeout: int) -> Iterator[Line]:
    yield section("backend", name)
    yield line("balance", ALGORITHMS.get(group.algorithm, "roundrobin"))
    yield line("timeout", "server", f"{timeout}s")
    yield from haproxy_answers.backend_lines(timeout)


def _checks(group: Group) -> Iterator[Line]:
    yield line("option", "httpchk", "GET", field_value(group.path))
    yield line("http-check", "send", "hdr", "User-Agent", "ELB-HealthChecker/2.0")
    yield line("http-check", "expect", "status", _statuses(group.matcher))
    # A real answer is waited for in real time, whatever LOCAL_SPEED is.
    yield line("timeout", "check", f"{round(group.timeout * 1000)}ms")


def _statuses(matcher: str) -> str:
    """Return the statuses of a healthy target, such as 200,202-299."""
    ranges = [[_number(end, STATUSES) for end in part.split("-")] for part in matcher.split(",")]
    if any(len(ends) > 2 or ends != sorted(ends) for ends in ranges):  # noqa: PLR2004  # a range has two ends
        raise Unwritable(f"{matcher!r} is no list of statuses")
    return ",".join("-".join(map(str, ends)) for ends in ranges)


def server(name_: str, address: str, group: Group, weight: int | str) -> tuple[str, ...]:
    """Return the words that describe a target of a group and its checks, for a configuration or a command."""
    counts = ("rise", group.healthy_count, "fall", group.unhealthy_count)
    # What a server of a configuration has by default, and one that is added does not: its connections are used again.
    pool = ("pool-max-conn", -1, "pool-purge-delay", "5s")
    check = ("check", "inter", _milliseconds(group.interval), *counts)
    return tuple(map(str, (name_, address, *check, *pool, "weight", weight)))


def _milliseconds(aws_seconds: float) -> str:
    return f"{max(1, round(clock.seconds(aws_seconds) * 1000))}ms"

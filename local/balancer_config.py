"""HAProxy's configuration for what ELBv2 wants: https://docs.haproxy.org/2.6/configuration.html

Rules are chosen in two steps. The first rule of a listener whose conditions hold leaves its number in a variable; then
the variable decides. HAProxy would otherwise run all answers and redirects before any forwarding, whatever the order.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from local import clock
from local.balancer_model import Group, Listener, LoadBalancer, Rule, Wanted

CHARACTER_FOR = {"*": ".*", "?": "."}
# Within a key or a value of a query string.
QUERY_CHARACTER_FOR = {"*": "[^&]*", "?": "[^&]"}
HTTPS_PORT = 443
# What HAProxy adds to targets' names and health checks: 1 to 256.
FULL_WEIGHT = 100
# What ALB waits for a connection to a target: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/
CONNECT_SECONDS = 10
# Where HAProxy keeps its last requests: a running number, the target group, the target's time in milliseconds.
RING = "requests"
RING_BYTES = 65536
# What the name of a group's second backend ends with, which has its targets, unchecked, while all are unhealthy.
OPEN = ".open"
ALGORITHMS = {"round_robin": "roundrobin", "least_outstanding_requests": "leastconn"}
REDIRECT_CODES = {"HTTP_301": 301, "HTTP_302": 302}

# The local port of a balancer's port: (balancer's ARN, port on AWS) -> port.
Ports = Mapping[tuple[str, int], int]


def render(
    wanted: Wanted, ports: Ports, socket: str, certificate: Path | None, servers: Mapping[str, list[str]]
) -> str:
    """Return the configuration.

    `servers` holds, by target group, the `server` lines that a new process starts with; targets that come and go later
    are told over `socket`, a file in HAProxy's folder. The description, by which a running process is recognised,
    depends on all the rest.
    """
    head = list(_defaults())
    body = [
        line
        for balancer in wanted.balancers
        for listener in balancer.listeners
        if (balancer.arn, listener.port) in ports
        for line in _frontend(balancer, listener, ports, certificate, wanted)
    ]
    blocks = {group.arn: list(_backend(group, _idle_timeout(wanted, group))) for group in wanted.groups.values()}
    fixed = "\n".join([*head, *body, *(line for block in blocks.values() for line in block)])
    description = hashlib.sha256(fixed.encode()).hexdigest()[:20]
    with_servers = [line for arn, block in blocks.items() for line in [*block, *servers.get(arn, [])]]
    return "\n".join([*_global(socket, description, _idle_timeout(wanted)), *head, *body, *with_servers, ""])


def description(configuration: str) -> str:
    """Return by what a process that runs a configuration is recognised."""
    found = re.search(r"^  description (\S+)$", configuration, re.MULTILINE)
    return found[1] if found else ""


def _idle_timeout(wanted: Wanted, group: Group | None = None) -> int:
    """Return the seconds after which load balancers close connections without traffic, the longest of those of a group.

    A client's connection and a target's wait equally long: an answer that takes longer is a 504 on AWS too.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html
    """
    return max(
        math.ceil(balancer.idle_timeout)
        for balancer in wanted.balancers
        if group is None or group.arn in balancer.group_arns
    )


def _global(socket: str, text: str, longest: int) -> Iterator[str]:
    yield "global"
    yield f"  description {text}"
    yield f"  stats socket unix@{socket} mode 600 level admin expose-fd listeners"
    # One carries what a laptop's tasks can answer, with less work per request than several that share connections.
    yield "  nbthread 1"
    # How long requests of before a change of the rules may take.
    yield f"  hard-stop-after {longest}s"


def _defaults() -> Iterator[str]:
    yield f"ring {RING}"
    yield "  format raw"
    yield "  maxlen 200"
    yield f"  size {RING_BYTES}"
    yield "defaults"
    yield f"  log ring@{RING} format raw local0"
    yield '  log-format "%rt %b %Tr"'
    yield "  mode http"
    yield f"  timeout connect {CONNECT_SECONDS}s"
    # As ALB: a request that could not be delivered is the client's to repeat.
    yield "  retries 0"
    # A change of the rules must not close a connection on which the next request is already under way.
    yield "  option idle-close-on-response"


# --- Listeners


def _frontend(
    balancer: LoadBalancer, listener: Listener, ports: Ports, certificate: Path | None, wanted: Wanted
) -> Iterator[str]:
    local_port = ports[balancer.arn, listener.port]
    tls = f" ssl crt {_quoted(str(certificate))} alpn h2,http/1.1" if listener.secure and certificate else ""
    yield f"frontend {frontend(balancer, listener.port)}"
    yield f"  bind 127.0.0.1:{local_port}{tls}"
    yield f"  timeout client {math.ceil(balancer.idle_timeout)}s"
    yield "  option forwardfor"
    yield f"  http-request set-header X-Forwarded-Proto {'https' if listener.secure else 'http'}"
    yield f"  http-request set-header X-Forwarded-Port {listener.port}"
    yield from _trace()
    for number, rule in enumerate(listener.rules):
        yield from _conditions(number, rule)
    actions = [
        line
        for number, rule in enumerate(listener.rules)
        for line in _action(number, rule, balancer, listener, ports, wanted)
    ]
    # HAProxy warns when they stand in another order, in which it would run them all the same.
    yield from sorted(actions, key=lambda line: line.startswith("  use_backend"))


def frontend(balancer: LoadBalancer, port: int) -> str:
    """Return the name of a listener's frontend."""
    return f"{balancer.name.replace('/', '.')}:{port}"


def _trace() -> Iterator[str]:
    """https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html"""
    missing = "unless { req.hdr(X-Amzn-Trace-Id) -m found }"
    yield f"  http-request set-var-fmt(txn.trace) %[uuid,regsub(-,,g)] {missing}"
    trace = "Root=1-%[var(txn.trace),bytes(0,8)]-%[var(txn.trace),bytes(8,24)]"
    yield f"  http-request set-header X-Amzn-Trace-Id {trace} {missing}"


def _conditions(number: int, rule: Rule) -> Iterator[str]:
    names = []
    for index, condition in enumerate(rule.conditions):
        name = f"rule{number}_{index}"
        names.append(name)
        for test in _tests(condition):
            yield f"  acl {name} {test}"
    still_free = "!{ var(txn.rule) -m found }"
    yield f"  http-request set-var(txn.rule) int({number}) if {' '.join([still_free, *names])}"


def _tests(condition: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tests of a condition, of which one has to hold."""
    match condition["Field"]:
        case "path-pattern":
            yield from _patterns("path", condition, "PathPatternConfig", "")
        case "host-header":
            yield from _patterns("req.hdr(host),field(1,:)", condition, "HostHeaderConfig", "-i ")
        case "http-header":
            name = condition["HttpHeaderConfig"]["HttpHeaderName"]
            yield from _patterns(f"req.fhdr({name})", condition, "HttpHeaderConfig", "-i ")
        case "http-request-method":
            yield from (f"method -m str {_quoted(value)}" for value in _values(condition, "HttpRequestMethodConfig"))
        case "query-string":
            for pair in condition["QueryStringConfig"]["Values"]:
                yield f"query -m reg -i {_quoted(_query_expression(pair))}"
        case "source-ip":
            yield from (f"src {value}" for value in _values(condition, "SourceIpConfig"))
        case other:
            raise ValueError(f"the condition {other} of a listener rule is not known here")


def _values(condition: Mapping[str, Any], config: str) -> list[str]:
    values: list[str] = condition.get(config, {}).get("Values") or condition.get("Values", [])
    return values


def _patterns(sample: str, condition: Mapping[str, Any], config: str, flags: str) -> Iterator[str]:
    for value in _values(condition, config):
        yield f"{sample} -m reg {flags}{_quoted('^' + _expression(value, CHARACTER_FOR) + '$')}"
    for value in condition.get(config, {}).get("RegexValues", []):
        yield f"{sample} -m reg {flags}{_quoted(value)}"


def _expression(pattern: str, characters: Mapping[str, str]) -> str:
    """Return a pattern with the wildcards * and ? as a regular expression; a backslash makes a wildcard plain."""
    parts = re.findall(r"\\[*?\\]|.", pattern, re.DOTALL)
    return "".join(characters.get(part) or re.escape(part[-1]) for part in parts)


def _query_expression(pair: Mapping[str, str]) -> str:
    value = _expression(pair["Value"], QUERY_CHARACTER_FOR)
    key = _expression(pair["Key"], QUERY_CHARACTER_FOR) if pair.get("Key") else "[^&=]*"
    return f"(^|&){key}={value}(&|$)"


# --- Actions


def _action(
    number: int, rule: Rule, balancer: LoadBalancer, listener: Listener, ports: Ports, wanted: Wanted
) -> Iterator[str]:
    chosen = f"if {{ var(txn.rule) -m int {number} }}"
    match rule.action["Type"]:
        case "fixed-response":
            yield _fixed_response(rule.action["FixedResponseConfig"], chosen)
        case "redirect":
            yield from _redirect(rule.action["RedirectConfig"], balancer, listener, ports, chosen)
        case "forward":
            groups = [(wanted.groups[arn], weight) for arn, weight in rule.groups if arn in wanted.groups and weight]
            yield from _forward(groups, chosen)
        case other:
            text = f"The local load balancer does not know the action {other}."
            yield f"  http-request return status 501 content-type text/plain string {_quoted(text)} {chosen}"


def _fixed_response(config: Mapping[str, Any], chosen: str) -> str:
    line = f"  http-request return status {config['StatusCode']}"
    if body := config.get("MessageBody"):
        line += f" content-type {_quoted(config.get('ContentType') or 'text/plain')} string {_quoted(body)}"
    return f"{line} hdr Server awselb/2.0 {chosen}"


def _redirect(
    config: Mapping[str, Any], balancer: LoadBalancer, listener: Listener, ports: Ports, chosen: str
) -> Iterator[str]:
    """Send the client elsewhere; a port of this load balancer becomes the local one that stands for it."""
    protocol = config.get("Protocol", "#{protocol}").replace("#{protocol}", "HTTPS" if listener.secure else "HTTP")
    port = config.get("Port", "#{port}").replace("#{port}", str(listener.port))
    location = f"{protocol.lower()}://{_format(config.get('Host', '#{host}'))}"
    location += f":{ports.get((balancer.arn, int(port)), port)}{_format(config.get('Path', '/#{path}'))}"
    code = REDIRECT_CODES[config["StatusCode"]]
    query = _format(config.get("Query", "#{query}"))
    yield f"  http-request set-var-fmt(txn.query) {_double_quoted(query)} {chosen}"
    with_query = f"{chosen} {{ var(txn.query) -m len gt 0 }}"
    yield f"  http-request redirect location {_double_quoted(location + '?%[var(txn.query)]')} code {code} {with_query}"
    yield f"  http-request redirect location {_double_quoted(location)} code {code} {chosen}"


def _format(text: str) -> str:
    """Return a redirect's part as an HAProxy format."""
    plain = text.replace("%", "%%")
    for word, sample in (
        ("#{host}", "%[req.hdr(host),field(1,:)]"),
        ("#{path}", "%[path,regsub(^/,)]"),
        ("#{query}", "%[query]"),
    ):
        plain = plain.replace(word, sample)
    return plain


def _forward(groups: list[tuple[Group, int]], chosen: str) -> Iterator[str]:
    if not groups:
        yield f"  http-request return status 503 {chosen}"
        return
    if len(groups) > 1:
        total = sum(weight for _group, weight in groups)
        yield f"  http-request set-var(txn.share) rand({total}) {chosen}"
    below = 0
    for group, weight in groups:
        below += weight
        last = below == sum(weight for _group, weight in groups)
        share = "" if last else f" {{ var(txn.share) -m int lt {below} }}"
        open_ = f"{group.backend}{OPEN}"
        yield f"  use_backend {open_} {chosen}{share} {{ nbsrv({group.backend}) eq 0 }} {{ nbsrv({open_}) gt 0 }}"
        yield f"  use_backend {group.backend} {chosen}{share}"


# --- Target groups


def _backend(group: Group, idle_timeout: int) -> Iterator[str]:
    for name in (f"{group.backend}{OPEN}", group.backend):
        yield f"backend {name}"
        yield f"  balance {ALGORITHMS.get(group.algorithm, 'roundrobin')}"
        yield f"  timeout server {idle_timeout}s"
    yield f"  option httpchk GET {_quoted(group.path)}"
    yield "  http-check send hdr User-Agent ELB-HealthChecker/2.0"
    yield f"  http-check expect status {group.matcher}"
    # A real answer is waited for in real time, whatever LOCAL_SPEED is.
    yield f"  timeout check {round(group.timeout * 1000)}ms"


def server_settings(group: Group) -> str:
    """Return how a target of a group is checked, for a `server` line or the command `add server`."""
    settings = f"check inter {_milliseconds(group.interval)} rise {group.healthy_count} fall {group.unhealthy_count}"
    # What a server of a configuration has by default, and one that is added does not: its connections are used again.
    settings += " pool-max-conn -1 pool-purge-delay 5s"
    if group.slow_start:
        settings += f" slowstart {_milliseconds(group.slow_start)}"
    return settings


def _milliseconds(aws_seconds: float) -> str:
    return f"{max(1, round(clock.seconds(aws_seconds) * 1000))}ms"


# --- Quoting


def _quoted(text: str) -> str:
    """Return a text as one word in which HAProxy sees no special character."""
    if "\n" in text or "\r" in text:
        return _double_quoted(text)
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _double_quoted(text: str) -> str:
    replace: Callable[[re.Match[str]], str] = lambda found: "\\" + found[0]  # noqa: E731
    plain = re.sub(r'[\\"$]', replace, text)
    return '"' + plain.replace("\n", "\\n").replace("\r", "\\r") + '"'

"""Texts for every value that reaches HAProxy's configuration, and what ELBv2's API is asked to take with each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from spotfleet.local.balancer.wanted import Group, Listener, LoadBalancer, Rule, Wanted
from tests.support.balancers import BALANCER, GROUP, LISTENER, forward

Condition = dict[str, Any]
Call = tuple[str, dict[str, Any]]

# What has a meaning to HAProxy, to a regular expression, to a log format or to a reader of lines.
TRAPS = [
    *("\n", "\r", "\r\n", "\0", "\x0b", "\x1b", "\x7f", "\u2028", "\ud800", "\ufffe", "é", "日本", "\U0001f40d"),
    *(" ", "\t", "#", ";", "\\", "\\\n", '"', "'", "''", "$", "${HOME}", "$(id)", "`id`", "%", "%%", "%[src]", "%ci"),
    *("{", "}", "!{", "if", "unless", "or", "||", "--", "-f", "-f /etc/hosts", "-i", "-m", "found", ")", "(", ",", "@"),
    *(
        "*",
        "?",
        "\\*",
        ".*",
        "[",
        "]",
        "^",
        "|",
        "+",
        "a**",
        "(?=",
        "#{host}",
        "#{path}",
        "#{query}",
        "#{port}",
        "#{x}",
    ),
    ") -m found\n  http-request return status 200 content-type text/plain file /etc/shadow if TRUE\n  acl x path",
    "\nbackend evil\n  server s 127.0.0.1:1",
    "200 file /etc/shadow",
    "; show info",
    "9" * 5000,
    "²٣",
    "<<\n",
]
text = st.lists(st.one_of(st.sampled_from(TRAPS), st.text(max_size=8)), max_size=5).map("".join)


@dataclass(frozen=True)
class Field:
    """A value of ELBv2: a harmless example, the call that sets it, and what the load balancer then has to do."""

    harmless: str
    call: Callable[[str], Call]
    wanted: Callable[[str], Wanted]
    # Texts near what is allowed, so that not all are refused.
    near: list[str] = field(default_factory=list)

    @property
    def texts(self) -> st.SearchStrategy[str]:
        near = st.tuples(st.sampled_from([self.harmless, *self.near]), text)
        return st.one_of(text, near.map("".join), near.map(lambda both: both[1] + both[0]))


def everything(
    *rules: Rule, balancer: str = "app/web/1111", group: Group | None = None, header: str = "", idle: float = 60
) -> Wanted:
    """Return a load balancer with an HTTP listener and these rules before a default one, and one target group."""
    default = Rule("default", (), forward())
    headers = (("Strict-Transport-Security", header),) if header else ()
    listener = Listener(LISTENER, 80, False, (*rules, default), headers)
    one = LoadBalancer(BALANCER, balancer, "web.example.com", idle, (listener,))
    return Wanted((one,), {GROUP: group or Group(GROUP, name="targetgroup/blue/3333")}, {GROUP: "eu-west-1"})


def _rule(condition: Condition | None = None, action: dict[str, Any] | None = None) -> Call:
    conditions = [condition or {"Field": "path-pattern", "Values": ["/x"]}]
    parameters = {"ListenerArn": LISTENER, "Priority": 1, "Conditions": conditions, "Actions": [action or forward()]}
    return "CreateRule", parameters


def _condition(harmless: str, make: Callable[[str], Condition], *near: str) -> Field:
    return Field(
        harmless,
        lambda value: _rule(condition=make(value)),
        lambda value: everything(Rule("1", (make(value),), forward())),
        list(near),
    )


def _action(harmless: str, make: Callable[[str], dict[str, Any]], *near: str) -> Field:
    path = {"Field": "path-pattern", "Values": ["/x"]}
    return Field(
        harmless,
        lambda value: _rule(action=make(value)),
        lambda value: everything(Rule("1", (path,), make(value))),
        list(near),
    )


def _configured(kind: str, key: str) -> Callable[[str], Condition]:
    return lambda value: {"Field": kind, key: {"Values": [value]}}


def _header(value: str = "a", name: str = "X-Kind") -> Condition:
    return {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": name, "Values": [value]}}


def _query(value: str = "1", key: str = "v") -> Condition:
    return {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": key, "Value": value}]}}


def _answer(**config: str) -> dict[str, Any]:
    whole = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "hello"} | config
    return {"Type": "fixed-response", "FixedResponseConfig": whole}


def _redirect(**config: str) -> dict[str, Any]:
    return {"Type": "redirect", "RedirectConfig": {"Port": "8000", "Path": "/moved", "StatusCode": "HTTP_301"} | config}


def _group(**parameters: Any) -> Call:  # noqa: ANN401  # an API's parameters
    return "CreateTargetGroup", {"Name": "blue", "Protocol": "HTTP", "Port": 80} | parameters


FIELDS: dict[str, Field] = {
    "path": _condition("/a", _configured("path-pattern", "PathPatternConfig"), "/a/*", "/$x", "/it's\"", "/~u&v@:+"),
    "host": _condition("a.example", _configured("host-header", "HostHeaderConfig"), "*.example", "a?.example"),
    "header name": _condition("X-Kind", lambda value: _header(name=value), "x'#$%&*+", "X-!^_`|~."),
    "header value": _condition("a", _header, "a b*", 'say "it\'s"', "\\*"),
    "method": _condition("PUT", _configured("http-request-method", "HttpRequestMethodConfig"), "M-SEARCH"),
    "query value": _condition("1", _query, "\\*", "a b"),
    "query key": _condition("v", lambda value: _query(key=value), "a[b]"),
    "source": _condition("10.0.0.0/8", _configured("source-ip", "SourceIpConfig"), "::/0"),
    "status": _action("200", lambda value: _answer(StatusCode=value), "204", "599"),
    "content type": _action("text/html", lambda value: _answer(ContentType=value)),
    "body": _action("hello", lambda value: _answer(MessageBody=value), "<b>it's</b>\n"),
    "redirect protocol": _action("HTTPS", lambda value: _redirect(Protocol=value), "#{protocol}"),
    "redirect port": _action("443", lambda value: _redirect(Port=value), "#{port}"),
    "redirect host": _action("b.example", lambda value: _redirect(Host=value), "#{host}"),
    "redirect path": _action("/b", lambda value: _redirect(Path=value), "/#{path}", "/50%"),
    "redirect query": _action("a=b", lambda value: _redirect(Query=value), "#{query}&x=%20"),
    "redirect code": _action("HTTP_302", lambda value: _redirect(StatusCode=value)),
    "health check path": Field(
        "/health",
        lambda value: _group(HealthCheckPath=value),
        lambda value: everything(group=Group(GROUP, path=value, name="targetgroup/blue/3333")),
        ["/h?x=1&y='\"#%"],
    ),
    "matcher": Field(
        "200-299",
        lambda value: _group(Matcher={"HttpCode": value}),
        lambda value: everything(group=Group(GROUP, matcher=value, name="targetgroup/blue/3333")),
        ["200,301-302", "499"],
    ),
    "group name": Field(
        "blue",
        lambda value: _group(Name=value),
        lambda value: everything(group=Group(GROUP, name=f"targetgroup/{value}/3333")),
        ["b-1"],
    ),
    "load balancer name": Field(
        "web",
        lambda value: ("CreateLoadBalancer", {"Name": value}),
        lambda value: everything(balancer=f"app/{value}/1111"),
        ["w-1"],
    ),
    "response header": Field(
        "max-age=1",
        lambda value: (
            "ModifyListenerAttributes",
            {
                "ListenerArn": LISTENER,
                "Attributes": [{"Key": "routing.http.response.strict_transport_security.header_value", "Value": value}],
            },
        ),
        lambda value: everything(header=value or "max-age=1"),
        ["default-src 'self'; a%b \"c\""],
    ),
}

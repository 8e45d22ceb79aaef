"""The load balancer's controller against an ELBv2 and an HAProxy that are plain objects."""

import functools
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from spotfleet.local.api import embedded_aws
from spotfleet.local.backchannel import target_health
from spotfleet.local.backchannel.target_health import Health, Target
from spotfleet.local.balancer import controller, haproxy, haproxy_config, haproxy_syntax, ports
from spotfleet.local.balancer.controller import Balancer
from spotfleet.local.balancer.wanted import read_wanted
from spotfleet.local.daemon import process
from spotfleet.local.emulator import registrations
from spotfleet.local.host import paths
from spotfleet.local.host.console import Failure
from tests.support.balancers import BALANCER, GROUP, OTHER_GROUP, Elbv2, FakeProcess, answer, authenticate, forward

BACKEND = "targetgroup.blue.3333"
POOL = "pool-max-conn -1 pool-purge-delay 5s"
FIRST = ("i-1", 32768)
SECOND = ("i-1", 32769)


class Bench:
    """A balancer between both fakes."""

    def __init__(self, folder: Path) -> None:
        self.elbv2 = Elbv2()
        self.process = FakeProcess(folder)
        self.balancer = self.restarted()

    def restarted(self) -> Balancer:
        return Balancer(self.process, lambda: ["eu-west-1"], lambda _region: self.elbv2.client)  # type: ignore[arg-type]

    def steps(self, count: int = 1) -> None:
        for _ in range(count):
            self.balancer.step()

    def health(self, target: tuple[str, int] = FIRST) -> Health:
        return target_health.health(GROUP, Target(*target))

    def server(self, target: tuple[str, int] = FIRST) -> dict[str, str]:
        return self.process.server(f"{BACKEND}/{target[0]}:{target[1]}")

    @property
    def text(self) -> str:
        return self.process.configurations[-1]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench on which nothing waits."""
    monkeypatch.setattr(paths, "STATE", tmp_path)
    monkeypatch.setattr(controller, "RULES_SECONDS", -1)
    monkeypatch.setattr(ports, "is_free", lambda _port: True)
    monkeypatch.setattr(target_health, "_reports", {})
    for variable in ("LOCAL_HTTP_PORT", "LOCAL_HTTPS_PORT"):
        monkeypatch.delenv(variable, raising=False)
    return Bench(tmp_path)


# --- The life of a target


def test_a_new_target_gets_requests_only_after_a_health_check_that_it_passes(bench: Bench) -> None:
    bench.elbv2.targets[FIRST] = "initial"
    bench.steps()
    added = next(command for command in bench.process.commands if command.startswith("add server"))
    assert added == (
        f"add server {BACKEND}/i-1:32768 127.0.0.1:32768 check inter 10000ms rise 2 fall 3 {POOL} weight 0"
    )
    assert bench.health() == target_health.INITIAL
    bench.steps()
    assert (bench.server()["uweight"], bench.health().reason) == ("0", "Elb.InitialHealthChecking")
    bench.server()["check_status"] = "L7OK"
    bench.steps()
    assert (bench.server()["uweight"], bench.health()) == ("100", Health("healthy"))


# Three checks, one every 10 s, the first at once; a container's start is not hastened by LOCAL_SPEED.
@pytest.mark.parametrize(("speed", "real_seconds"), [("1", 20), ("10", 15), ("60", 15)])
def test_a_new_target_that_never_passes_becomes_unhealthy_in_the_time_of_its_checks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, speed: str, real_seconds: float
) -> None:
    monkeypatch.setenv("LOCAL_SPEED", speed)
    bench.elbv2.targets[FIRST] = "initial"
    bench.steps(2)
    # HAProxy has it down after the first failed check, and counts no more.
    bench.server().update(check_status="L7STS", check_code="503", chkfail="1", status="DOWN")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + real_seconds - 0.5)
    bench.steps()
    assert bench.health().state == "initial"
    monkeypatch.setattr(time, "monotonic", lambda: now + real_seconds + 0.5)
    bench.steps()
    reason = "Health checks failed with these codes: [503]"
    assert bench.health() == Health("unhealthy", "Target.ResponseCodeMismatch", reason)
    # Then one check that it passes is not enough: HAProxy has it up when it has passed as many as the threshold says.
    bench.server().update(check_status="L7OK")
    bench.steps()
    assert bench.health().state == "unhealthy"
    bench.server().update(status="UP")
    bench.steps()
    assert bench.health() == Health("healthy")


def healthy(bench: Bench, *names: tuple[str, int]) -> None:
    for name in names:
        bench.elbv2.targets[name] = "initial"
    bench.steps(2)
    for name in names:
        bench.server(name)["check_status"] = "L7OK"
    bench.steps()


@pytest.mark.parametrize(
    ("check", "reason"),
    [("L7TOUT", "Target.Timeout"), ("L4CON", "Target.FailedHealthChecks"), ("L7STS", "Target.ResponseCodeMismatch")],
)
def test_what_haproxy_measures_is_told_in_aws_words(bench: Bench, check: str, reason: str) -> None:
    healthy(bench, FIRST)
    bench.server().update(status="DOWN", check_status=check)
    bench.steps()
    assert (bench.health().state, bench.health().reason) == ("unhealthy", reason)
    bench.server().update(status="UP", check_status="L7OK")
    bench.steps()
    assert bench.health().state == "healthy"


def test_without_a_healthy_target_all_get_requests(bench: Bench) -> None:
    def without_checks() -> list[str]:
        return sorted(name for backend, name in bench.process.servers if backend == f"{BACKEND}.open")

    healthy(bench, FIRST, SECOND)
    bench.server().update(status="DOWN", check_status="L7STS")
    bench.steps()
    assert without_checks() == []
    bench.server(SECOND).update(status="DOWN", check_status="L4CON")
    bench.steps(2)
    assert without_checks() == ["i-1:32768", "i-1:32769"]
    assert {bench.health(target).state for target in (FIRST, SECOND)} == {"unhealthy"}
    del bench.elbv2.targets[SECOND]
    bench.steps(2)
    assert without_checks() == ["i-1:32768"]
    bench.server().update(status="UP", check_status="L7OK")
    bench.steps(2)
    assert without_checks() == []
    assert f"use_backend {BACKEND}.open if {{ var(txn.rule) -m int 0 }} {{ nbsrv({BACKEND}) eq 0 }}" in bench.text


def test_a_leaving_target_is_drained_and_then_removed(bench: Bench) -> None:
    healthy(bench, FIRST, SECOND)
    bench.elbv2.targets[FIRST] = "draining"
    bench.steps()
    assert bench.server()["status"] == "DRAIN"
    assert not target_health.is_idle(GROUP, Target(*FIRST)), "a request may be on its way until HAProxy says otherwise"
    bench.server()["scur"] = "1"
    bench.steps()
    assert not target_health.is_idle(GROUP, Target(*FIRST))
    bench.server()["scur"] = "0"
    bench.steps()
    assert target_health.is_idle(GROUP, Target(*FIRST))
    del bench.elbv2.targets[FIRST]
    bench.steps()
    assert list(bench.process.servers) == [(BACKEND, "i-1:32769")]
    assert len(bench.process.configurations) == 1, "targets come and go without a new configuration"


def test_a_target_that_is_registered_again_gets_requests_again(bench: Bench) -> None:
    healthy(bench, FIRST)
    bench.elbv2.targets[FIRST] = "draining"
    bench.steps(2)
    bench.elbv2.targets[FIRST] = "healthy"
    bench.steps(2)
    assert (bench.server()["status"], bench.health().state) == ("UP", "healthy")


def test_slow_start_begins_when_a_target_beside_a_warm_one_is_healthy(bench: Bench) -> None:
    bench.elbv2.attributes["slow_start.duration_seconds"] = "30"
    healthy(bench, FIRST)
    assert not any("slowstart" in command for command in bench.process.commands), "the first one takes all at once"
    bench.server().update(weight="100")
    healthy(bench, SECOND)
    assert "slowstart 30000ms" in next(
        text for text in bench.process.commands if f"add server {BACKEND}/i-1:32769" in text
    )
    assert bench.process.commands[-3:] == [
        f"set server {BACKEND}/i-1:32769 health down",
        f"set server {BACKEND}/i-1:32769 weight 100",
        f"set server {BACKEND}/i-1:32769 health up",
    ]


# --- The controller


def test_a_step_without_a_change_does_nothing(bench: Bench) -> None:
    healthy(bench, FIRST)
    before = list(bench.process.commands)
    bench.steps(3)
    assert (bench.process.commands, len(bench.process.configurations)) == (before, 1)


def test_a_restarted_controller_goes_on_where_the_last_one_was(bench: Bench) -> None:
    healthy(bench, FIRST)
    before = list(bench.process.commands)
    bench.balancer = bench.restarted()
    bench.steps(2)
    assert (bench.process.commands, len(bench.process.configurations)) == (before, 1)
    assert bench.health().state == "healthy"


def test_a_changed_rule_is_a_new_configuration_that_keeps_the_targets(bench: Bench) -> None:
    healthy(bench, FIRST)
    bench.elbv2.targets[SECOND] = "initial"
    bench.steps()
    bench.elbv2.add_rule(10, answer("404", "no"), {"Field": "path-pattern", "Values": ["/old"]})
    bench.steps()
    assert len(bench.process.configurations) == 2
    assert f"server i-1:32768 127.0.0.1:32768 check inter 10000ms rise 2 fall 3 {POOL} weight 100" in bench.text
    assert "server i-1:32769" not in bench.text, "it has not passed a check yet"


def test_without_a_load_balancer_no_haproxy_runs(bench: Bench) -> None:
    bench.steps()
    assert ports.url(BALANCER) == "http://127.0.0.1:8080/"
    bench.elbv2.balancers = []
    bench.steps()
    assert bench.process.runs_with() is None
    assert ports.url(BALANCER) is None


def test_a_group_that_is_deleted_while_it_is_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(TargetGroupArn: str) -> None:  # noqa: N803
        raise ClientError({"Error": {"Code": "TargetGroupNotFound"}}, TargetGroupArn)

    elbv2 = Elbv2()
    assert list(read_wanted({"eu-west-1": elbv2.client}).groups) == [GROUP]
    monkeypatch.setattr(elbv2, "describe_target_group_attributes", gone)
    left = read_wanted({"eu-west-1": elbv2.client})
    assert (left.groups, left.regions, len(left.balancers)) == ({}, {}, 1)


def test_an_aws_that_does_not_answer_leaves_haproxy_alone(bench: Bench) -> None:
    healthy(bench, FIRST)

    def unreachable() -> list[str]:
        raise ConnectionError

    bench.balancer = Balancer(bench.process, unreachable, lambda _region: bench.elbv2.client)  # type: ignore[arg-type]
    with pytest.raises(ConnectionError):
        bench.steps()
    assert bench.process.runs_with() is not None


def test_waiting_times_follow_the_speed_and_the_time_for_an_answer_does_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "10")
    bench.elbv2.targets[FIRST] = "initial"
    bench.steps()
    assert "inter 1000ms" in bench.process.commands[0]
    assert "timeout check 5000ms" in bench.text


def test_an_answer_may_take_as_long_as_a_connection_may_be_idle(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "10")
    bench.elbv2.idle_timeout = 300
    bench.steps()
    timeouts = [line.strip() for line in bench.text.splitlines() if "timeout" in line or "hard-stop-after" in line]
    assert [line for line in timeouts if "connect" not in line and "check" not in line] == [
        "hard-stop-after 300s",
        "timeout client 300s",
        "timeout server 300s",
        "timeout server 300s",
    ]
    bench.elbv2.idle_timeout = 90
    bench.steps()
    assert "timeout server 90s" in bench.text


# --- Rules


def rendered(bench: Bench, action: dict[str, Any], *conditions: dict[str, Any]) -> list[str]:
    bench.elbv2.add_rule(10, action, *conditions)
    bench.steps()
    return [line.strip() for line in bench.text.splitlines()]


@pytest.mark.parametrize(
    ("condition", "test"),
    [
        ({"Field": "path-pattern", "Values": ["/a.b/*"]}, r"path -m reg -- '^/a\.b/.*$'"),
        ({"Field": "path-pattern", "PathPatternConfig": {"Values": ["/?"]}}, "path -m reg -- '^/.$'"),
        ({"Field": "path-pattern", "Values": [r"/\*it's"]}, r"""path -m reg -- '^/\*it'"'"'s$'"""),
        (
            {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com"]}},
            r"req.hdr(host),field(1,:) -m reg -i -- '^.*\.example\.com$'",
        ),
        (
            {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Kind", "Values": ["a*"]}},
            """'req.fhdr("X-Kind")' -m reg -i -- '^a.*$'""",
        ),
        ({"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT"]}}, "method -m str -- PUT"),
        (
            {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1*"}]}},
            "query -m reg -i -- '(^|&)v=1[^&]*(&|$)'",
        ),
        ({"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}, "src -- 10.0.0.0/8"),
    ],
)
def test_a_condition(bench: Bench, condition: dict[str, Any], test: str) -> None:
    lines = rendered(bench, forward(), condition)
    assert f"acl rule0_0 {test}" in lines
    assert "http-request set-var(txn.rule) int(0) if !{ var(txn.rule) -m found } rule0_0" in lines


def test_rules_are_asked_by_priority_as_numbers_and_the_default_last(bench: Bench) -> None:
    for priority in (100, 20):
        bench.elbv2.add_rule(priority, answer("200", str(priority)), {"Field": "path-pattern", "Values": ["/*"]})
    bench.elbv2.default_action = answer("404", "none")
    bench.steps()
    answers = [line.split(" string ")[1].split()[0] for line in bench.text.splitlines() if " string " in line]
    assert answers == ["20", "100", "none"]


def test_a_redirect_to_https_goes_to_the_port_that_stands_for_443(bench: Bench) -> None:
    bench.elbv2.ports = {80: "HTTP", 443: "HTTPS"}
    config = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    lines = rendered(bench, {"Type": "redirect", "RedirectConfig": config})
    location = "https://%[req.hdr(host),field(1,:)]:8443/%[path,regsub(^/,)]"
    assert f"http-request redirect location {location} code 301 if {{ var(txn.rule) -m int 0 }}" in lines
    assert any(line.startswith("bind 127.0.0.1:8443 ssl crt ") for line in lines)
    assert ports.url(BALANCER) == "https://127.0.0.1:8443/"


@pytest.mark.parametrize("kind", ["authenticate-oidc", "authenticate-cognito", "jwt-validation"])
def test_nothing_behind_an_authentication_is_reached(bench: Bench, kind: str) -> None:
    condition = {"Field": "path-pattern", "Values": ["/private/*"]}
    bench.elbv2.add_rule_of_several(10, [authenticate(kind), forward() | {"Order": 2}], condition)
    bench.elbv2.before_default_action = [authenticate(kind)]
    bench.steps()
    text = f"The local load balancer does not know the action {kind}."
    for number in (0, 1):
        chosen = f"if {{ var(txn.rule) -m int {number} }}"
        assert f"  http-request return status 501 content-type text/plain string '{text}' {chosen}" in bench.text
    assert "use_backend" not in bench.text


def test_a_rule_that_rewrites_requests_passes_none_on_unchanged(bench: Bench) -> None:
    bench.elbv2.add_rule(10, forward(), {"Field": "path-pattern", "Values": ["/api/*"]})
    bench.elbv2.rules[0]["Transforms"] = [{"Type": "url-rewrite"}]
    bench.steps()
    assert (
        "'The local load balancer does not know the transforms of rules.' if { var(txn.rule) -m int 0 }" in bench.text
    )


def test_weights_share_the_requests(bench: Bench) -> None:
    groups = [{"TargetGroupArn": GROUP, "Weight": 90}, {"TargetGroupArn": OTHER_GROUP, "Weight": 10}]
    lines = rendered(bench, {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}})
    chosen = "if { var(txn.rule) -m int 0 }"
    assert f"http-request set-var(txn.share) rand(100) {chosen}" in lines
    assert f"use_backend {BACKEND} {chosen} {{ var(txn.share) -m int lt 90 }}" in lines
    assert f"use_backend targetgroup.green.4444 {chosen}" in lines


def test_a_text_with_quotes_and_lines_stays_one_word(bench: Bench) -> None:
    lines = rendered(bench, answer("200", 'a "$b"\nc'))
    assert any(r'string "a \"\$b\"\x0ac"' in line for line in lines)


# --- Ports


def test_the_next_balancer_gets_the_next_free_port_and_addresses_stay() -> None:
    taken = {8081}
    free: Callable[[int], bool] = lambda port: port not in taken  # noqa: E731
    first = ports.assign([("a", 80), ("a", 443)], {}, free)
    assert first == {("a", 80): 8080, ("a", 443): 8443}
    second = ports.assign([("b", 80), ("a", 80), ("b", 8000), ("b", 81)], first, free)
    assert second == {("a", 80): 8080, ("b", 80): 8082, ("b", 8000): 8000, ("b", 81): 8083}


@pytest.mark.parametrize("variable", ["LOCAL_HTTP_PORT", "LOCAL_HTTPS_PORT"])
def test_a_port_in_use_is_named_before_anything_starts(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = 9000
    monkeypatch.setattr(ports, "is_free", lambda tried: tried != port)
    ports.require_free()
    monkeypatch.setenv(variable, str(port))
    with pytest.raises(Failure) as failure:
        ports.require_free()
    assert str(failure.value) == (
        f"Port {port}, where the load balancer would answer, is not free: "
        f"stop what uses it, or choose another port with {variable}={port + 100}."
    )


def test_a_default_port_in_use_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_HTTPS_PORT", raising=False)
    monkeypatch.setattr(ports, "is_free", lambda port: port != 8443)
    with pytest.raises(Failure, match=r"Port 8443, .* with LOCAL_HTTPS_PORT=8543\."):
        ports.require_free()


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not ports.is_free(taken.getsockname()[1])


@pytest.mark.parametrize("variable", ["LOCAL_HTTP_PORT", "LOCAL_HTTPS_PORT"])
def test_a_port_that_is_none_is_named_also_while_the_embedded_aws_runs(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_aws, "find", lambda: {"speed": 1})
    monkeypatch.setenv(variable, "abc")
    with pytest.raises(Failure, match=f"^{variable} is 'abc': give a port number from 1 to 65535\\.$"):
        process.start()


def test_a_missing_haproxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, **_path: None if name == "haproxy" else f"/bin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Failure, match=r"HAProxy .* is not installed: install it with sudo apt-get install haproxy"):
        haproxy.ensure_installed()


# --- Registrations


def test_registrations_know_ports_apart_and_keep_their_time_to_leave() -> None:
    one, two = Target("i-1", 1), Target("i-1", 2)
    present = registrations.registered([], [one, two])
    leaving = registrations.deregistered(present, [one], 100.0)
    again = registrations.deregistered(leaving, [one], 200.0)
    assert [registrations.key(item) for item in registrations.kept(again, 99.0)] == [one, two]
    assert [registrations.key(item) for item in registrations.kept(again, 100.0)] == [two]
    assert registrations.kept(registrations.registered(again, [one]), 100.0) == present


def test_a_silent_balancer_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_health, "_reports", {})
    target = Target("i-1", 1)
    target_health.report("group", {target: Health("healthy")})
    assert target_health.health("group", target) == Health("healthy")
    monkeypatch.setattr(target_health, "STALE_SECONDS", -1)
    assert target_health.health("group", target) == target_health.INITIAL


def test_the_description_depends_on_rules_and_not_on_targets() -> None:
    what = read_wanted({"eu-west-1": Elbv2().client})
    render = functools.partial(haproxy_config.render, what, {(BALANCER, 80): 8080}, "haproxy.sock", None)
    empty, full = render({}), render({GROUP: [haproxy_syntax.line("server", "a", "127.0.0.1:1")]})
    assert empty != full
    assert haproxy_config.description(empty) == haproxy_config.description(full) != ""

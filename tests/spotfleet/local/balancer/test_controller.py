"""The load balancer's controller between what ELBv2 says and a real HAProxy."""

import functools
import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from spotfleet.local.api import embedded_aws
from spotfleet.local.backchannel import target_health
from spotfleet.local.backchannel.target_health import Health, Target
from spotfleet.local.balancer import controller, haproxy, haproxy_config, haproxy_syntax, node, ports
from spotfleet.local.balancer.wanted import Wanted, read_wanted
from spotfleet.local.daemon import process
from spotfleet.local.emulator import registrations
from spotfleet.local.host.console import Failure
from tests.support.balancer_bench import BACKEND, Bench, name
from tests.support.balancers import BALANCER, GROUP, OTHER_GROUP, SECONDS, Backend, Elbv2, answer, authenticate, forward

POOL = "pool-max-conn -1 pool-purge-delay 5s"


# --- The life of a target


@pytest.mark.usefixtures("later")
def test_a_new_target_gets_requests_only_after_a_health_check_that_it_passes(bench: Bench) -> None:
    task = bench.add(status=503)
    bench.steps()
    port = task.target[1]
    assert bench.process.commands[0] == (
        f"add server {BACKEND}/i-1:{port} 127.0.0.1:{port} check inter 83ms rise 2 fall 3 {POOL} weight 0"
    )
    assert bench.health(task) == target_health.INITIAL
    bench.until(lambda: bench.server(task)["check_status"] == "L7STS")
    bench.steps()
    assert (bench.server(task)["uweight"], bench.health(task).reason) == ("0", "Elb.InitialHealthChecking")
    assert "No target has answered this request." in bench.ask()
    task.status = 200
    bench.until(lambda: bench.health(task) == Health("healthy"))
    assert bench.server(task)["uweight"] == "100"
    assert bench.asked() == {task.name}


# Three checks, one every 10 s, the first after 2 s; a container's start is not hastened by LOCAL_SPEED.
@pytest.mark.parametrize(("speed", "real_seconds"), [("1", 22), ("10", 15), ("60", 15)])
def test_a_new_target_that_never_passes_becomes_unhealthy_in_the_time_of_its_checks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, later: Callable[[float], None], speed: str, real_seconds: float
) -> None:
    bench.elbv2.health_check["HealthCheckIntervalSeconds"] = 10
    task = bench.add(status=503)
    # HAProxy has it down after the first failed check, and counts no more.
    bench.until(lambda: name(task) in bench.servers() and bench.server(task)["check_status"] == "L7STS")
    # HAProxy goes on as it is.
    monkeypatch.setattr(haproxy_config, "render", lambda *_arguments, text=bench.text: text)
    monkeypatch.setenv("LOCAL_SPEED", speed)
    later(real_seconds - 0.5)
    bench.steps()
    assert bench.health(task).state == "initial"
    later(real_seconds + 0.5)
    bench.steps()
    reason = "Health checks failed with these codes: [503]"
    assert bench.health(task) == Health("unhealthy", "Target.ResponseCodeMismatch", reason)
    # Then one check that it passes is not enough: HAProxy has it up when it has passed as many as the threshold says.
    task.status = 200
    bench.until(lambda: bench.health(task) == Health("healthy"))
    assert task.passed >= 2


@pytest.mark.parametrize(
    ("fails", "reason"),
    [
        (Backend.end, "Target.FailedHealthChecks"),
        (lambda task: setattr(task, "status", 503), "Target.ResponseCodeMismatch"),
    ],
    ids=["refuses", "answers 503"],
)
def test_what_haproxy_measures_is_told_in_aws_words(
    bench: Bench, fails: Callable[[Backend], None], reason: str
) -> None:
    task = bench.healthy()
    fails(task)
    bench.until(lambda: bench.health(task).state == "unhealthy")
    assert bench.health(task).reason == reason


@pytest.mark.parametrize("check", ["L4TOUT", "L6TOUT", "L7TOUT"])
def test_a_check_without_an_answer_in_time_is_told_in_aws_words(check: str) -> None:
    assert node.unhealthy({"check_status": check}) == Health("unhealthy", "Target.Timeout", "Request timed out")


def test_without_a_healthy_target_all_get_requests(bench: Bench) -> None:
    def without_checks() -> set[str]:
        return set(bench.servers(f"{BACKEND}.open"))

    first, second = bench.healthy(), bench.healthy()
    bench.fail(first)
    assert (without_checks(), bench.asked()) == (set(), {second.name})
    bench.fail(second)
    bench.steps(2)
    assert (without_checks(), bench.asked()) == ({name(first), name(second)}, {first.name, second.name})
    assert {bench.health(task).state for task in (first, second)} == {"unhealthy"}
    del bench.elbv2.targets[second.target]
    bench.until(lambda: without_checks() == {name(first)})
    assert bench.asked() == {first.name}
    first.status = 200
    bench.until(lambda: bench.health(first).state == "healthy" and not without_checks())
    assert bench.asked() == {first.name}
    assert f"use_backend {BACKEND}.open if {{ var(txn.rule) -m int 0 }} {{ nbsrv({BACKEND}) eq 0 }}" in bench.text


def test_a_leaving_target_is_drained_and_then_removed(bench: Bench) -> None:
    first = bench.healthy()
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(bench.ask("/held")))
    asking.start()
    assert first.held.wait(SECONDS)
    second = bench.healthy()
    bench.elbv2.targets[first.target] = "draining"
    bench.steps()
    assert bench.server(first)["status"] == "DRAIN"
    bench.steps(2)
    assert not bench.is_idle(first), "it still answers one"
    assert bench.asked() == {second.name}
    first.release.set()
    asking.join()
    assert answers == [f"{first.name} /held http"]
    bench.until(lambda: bench.is_idle(first))
    del bench.elbv2.targets[first.target]
    bench.until(lambda: list(bench.servers()) == [name(second)])
    assert bench.process.configurations == 0, "targets come and go without a new configuration"


def test_a_request_may_be_on_its_way_to_a_leaving_target_until_haproxy_says_otherwise(bench: Bench) -> None:
    task = bench.healthy()
    bench.elbv2.targets[task.target] = "draining"
    bench.steps()
    assert not bench.is_idle(task)
    bench.steps()
    assert bench.is_idle(task)


def test_a_target_that_is_registered_again_gets_requests_again(bench: Bench) -> None:
    task = bench.healthy()
    bench.elbv2.targets[task.target] = "draining"
    bench.steps(2)
    assert bench.server(task)["status"] == "DRAIN"
    bench.elbv2.targets[task.target] = "healthy"
    bench.until(lambda: (bench.server(task)["status"], bench.health(task).state) == ("UP", "healthy"))
    assert bench.asked() == {task.name}


# --- The controller


def test_a_step_without_a_change_does_nothing(bench: Bench) -> None:
    bench.healthy()
    before = list(bench.process.commands)
    bench.steps(3)
    assert (bench.process.commands, bench.process.configurations) == (before, 0)


def test_between_two_looks_at_the_rules_haproxy_is_only_watched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    task = bench.healthy()
    rendered: list[str] = []
    render = haproxy_config.render

    def counting(wanted: Wanted, *more: Any) -> str:  # noqa: ANN401  # what the function takes
        rendered.append(render(wanted, *more))
        return rendered[-1]

    monkeypatch.setattr(haproxy_config, "render", counting)
    bench.steps()
    assert len(rendered) == 1, "the rules have been read, and are as they were"
    monkeypatch.setattr(controller, "RULES_SECONDS", 3600)
    bench.steps(3)
    assert len(rendered) == 1
    bench.process.stop()
    bench.until(lambda: bench.health(task).state == "healthy" and bench.process.runs_with() is not None)
    assert bench.asked() == {task.name}


def test_a_restarted_controller_goes_on_where_the_last_one_was(bench: Bench) -> None:
    task = bench.healthy()
    before = list(bench.process.commands)
    bench.restart()
    bench.steps(2)
    assert (bench.process.commands, bench.process.configurations) == (before, 0)
    assert bench.health(task).state == "healthy"


def test_a_changed_rule_is_a_new_configuration_that_keeps_the_targets(bench: Bench) -> None:
    first, second = bench.healthy(), bench.add(status=503)
    bench.steps()
    bench.elbv2.add_rule(10, answer("404", "no"), {"Field": "path-pattern", "Values": ["/old"]})
    bench.steps()
    assert bench.process.configurations == 1
    port = first.target[1]
    assert f"server i-1:{port} 127.0.0.1:{port} check inter 83ms rise 2 fall 3 {POOL} weight 100" in bench.text
    assert f"server {name(second)}" not in bench.text, "it has not passed a check yet"
    assert (bench.ask("/old"), bench.asked()) == ("no", {first.name})


def test_a_rule_that_haproxy_cannot_match_leaves_all_others_as_they_are(bench: Bench) -> None:
    task = bench.healthy()
    condition = {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["a**"]}}
    bench.elbv2.add_rule(10, forward(OTHER_GROUP), condition)
    bench.elbv2.add_rule(20, answer("404", "no"), {"Field": "path-pattern", "Values": ["/old"]})
    bench.steps(2)
    assert (bench.ask("/old"), bench.asked(), bench.health(task).state) == ("no", {task.name}, "healthy")


def test_without_a_load_balancer_no_haproxy_runs(bench: Bench) -> None:
    assert ports.url(BALANCER) == f"http://127.0.0.1:{ports.load()[BALANCER, 80]}/"
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
    task = bench.healthy()

    def unreachable() -> list[str]:
        raise ConnectionError

    bench.restart(unreachable)
    with pytest.raises(ConnectionError):
        bench.steps()
    assert bench.asked() == {task.name}


def test_waiting_times_follow_the_speed_and_the_time_for_an_answer_does_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "10")
    bench.add()
    bench.steps()
    assert "inter 500ms" in bench.process.commands[0]
    assert "timeout check 5000ms" in bench.text


# --- Rules


@pytest.fixture
def elbv2() -> Elbv2:
    """A load balancer with one listener, which forwards."""
    return Elbv2()


def lines(elbv2: Elbv2) -> list[str]:
    """Return the lines of the configuration for a load balancer."""
    wanted = read_wanted({"eu-west-1": elbv2.client})
    local = {(BALANCER, 80): 8080, (BALANCER, 443): 8443}
    text = haproxy_config.render(wanted, local, haproxy.SOCKET, Path("balancer.pem"), {})
    return [line.strip() for line in text.splitlines()]


def rendered(elbv2: Elbv2, action: dict[str, Any], *conditions: dict[str, Any]) -> list[str]:
    elbv2.add_rule(10, action, *conditions)
    return lines(elbv2)


def test_an_answer_may_take_as_long_as_a_connection_may_be_idle(elbv2: Elbv2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "10")
    elbv2.idle_timeout = 300
    timeouts = [line for line in lines(elbv2) if "timeout" in line or "hard-stop-after" in line]
    assert [line for line in timeouts if "connect" not in line and "check" not in line] == [
        "hard-stop-after 300s",
        "timeout client 300s",
        "timeout server 300s",
        "timeout server 300s",
    ]
    elbv2.idle_timeout = 90
    assert "timeout server 90s" in lines(elbv2)


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
def test_a_condition(elbv2: Elbv2, condition: dict[str, Any], test: str) -> None:
    found = rendered(elbv2, forward(), condition)
    assert f"acl rule0_0 {test}" in found
    assert "http-request set-var(txn.rule) int(0) if !{ var(txn.rule) -m found } rule0_0" in found


def test_rules_are_asked_by_priority_as_numbers_and_the_default_last(elbv2: Elbv2) -> None:
    for priority in (100, 20):
        elbv2.add_rule(priority, answer("200", str(priority)), {"Field": "path-pattern", "Values": ["/*"]})
    elbv2.default_action = answer("404", "none")
    answers = [line.split(" string ")[1].split()[0] for line in lines(elbv2) if " string " in line]
    assert answers == ["20", "100", "none"]


def test_a_redirect_to_https_goes_to_the_port_that_stands_for_443(bench: Bench) -> None:
    bench.elbv2.ports = {80: "HTTP", 443: "HTTPS"}
    config = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    bench.elbv2.add_rule(10, {"Type": "redirect", "RedirectConfig": config})
    bench.steps()
    found, port = [line.strip() for line in bench.text.splitlines()], ports.load()[BALANCER, 443]
    location = f"https://%[req.hdr(host),field(1,:)]:{port}/%[path,regsub(^/,)]"
    assert f"http-request redirect location {location} code 301 if {{ var(txn.rule) -m int 0 }}" in found
    assert any(line.startswith(f"bind 127.0.0.1:{port} ssl crt ") for line in found)
    assert ports.url(BALANCER) == f"https://127.0.0.1:{port}/"


@pytest.mark.parametrize("kind", ["authenticate-oidc", "authenticate-cognito", "jwt-validation"])
def test_nothing_behind_an_authentication_is_reached(elbv2: Elbv2, kind: str) -> None:
    condition = {"Field": "path-pattern", "Values": ["/private/*"]}
    elbv2.add_rule_of_several(10, [authenticate(kind), forward() | {"Order": 2}], condition)
    elbv2.before_default_action = [authenticate(kind)]
    found = lines(elbv2)
    text = f"The local load balancer does not know the action {kind}."
    for number in (0, 1):
        chosen = f"if {{ var(txn.rule) -m int {number} }}"
        assert f"http-request return status 501 content-type text/plain string '{text}' {chosen}" in found
    assert not any("use_backend" in line for line in found)


def test_a_rule_that_rewrites_requests_passes_none_on_unchanged(elbv2: Elbv2) -> None:
    elbv2.add_rule(10, forward(), {"Field": "path-pattern", "Values": ["/api/*"]})
    elbv2.rules[0]["Transforms"] = [{"Type": "url-rewrite"}]
    refused = "'The local load balancer does not know the transforms of rules.' if { var(txn.rule) -m int 0 }"
    assert any(line.endswith(refused) for line in lines(elbv2))


def test_weights_share_the_requests(elbv2: Elbv2) -> None:
    groups = [{"TargetGroupArn": GROUP, "Weight": 90}, {"TargetGroupArn": OTHER_GROUP, "Weight": 10}]
    found = rendered(elbv2, {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}})
    chosen = "if { var(txn.rule) -m int 0 }"
    assert f"http-request set-var(txn.share) rand(100) {chosen}" in found
    assert f"use_backend {BACKEND} {chosen} {{ var(txn.share) -m int lt 90 }}" in found
    assert f"use_backend targetgroup.green.4444.node0 {chosen}" in found


def test_a_text_with_quotes_and_lines_stays_one_word(elbv2: Elbv2) -> None:
    found = rendered(elbv2, answer("200", 'a "$b"\nc'))
    assert any(r'string "a \"\$b\"\x0ac"' in line for line in found)


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


def test_an_haproxy_that_cannot_answer_for_targets_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "haproxy"
    program.write_text("#!/bin/sh\necho 'Feature list : +EPOLL -LUA +PCRE2'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(Failure, match=r"/haproxy is built without Lua, .*: install your system's HAProxy\."):
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
    empty, full = render({}), render({BACKEND: [haproxy_syntax.line("server", "a", "127.0.0.1:1")]})
    assert empty != full
    assert haproxy_config.description(empty) == haproxy_config.description(full) != ""


@pytest.mark.parametrize(
    ("status", "words"),
    [("L7TOUT", "Request timed out"), ("* L7TOUT", "Request timed out"), ("* L4CON", "Health checks failed")],
)
def test_why_a_target_is_unhealthy_is_told_while_the_next_check_runs_as_well(status: str, words: str) -> None:
    assert node.unhealthy({"check_status": status}).description == words

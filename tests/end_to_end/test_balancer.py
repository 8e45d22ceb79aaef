"""The load balancer on a real HAProxy: rules, health and draining; then its speed and a deployment under load."""

import contextlib
import http.client
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spotfleet.cli import load
from spotfleet.local.backchannel import target_health
from spotfleet.local.backchannel.target_health import Target
from spotfleet.local.balancer import controller, haproxy, haproxy_config, haproxy_syntax, ports
from spotfleet.local.balancer.controller import Balancer
from spotfleet.local.balancer.haproxy import Process
from spotfleet.local.emulator import elbv2_validation
from spotfleet.local.host import paths
from tests.support import chromium
from tests.support.balancers import BALANCER, GROUP, SECONDS, Backend, Elbv2, answer, authenticate, forward
from tests.support.ports import free_port
from tests.support.projects import Project, get, launched


class Bench:
    """A balancer with a real HAProxy and an ELBv2 that the test changes."""

    def __init__(self, folder: Path) -> None:
        self.elbv2 = Elbv2()
        self.elbv2.health_check["HealthCheckIntervalSeconds"] = 10
        self.process = Process(folder)
        self.balancer = Balancer(self.process, lambda: ["eu-west-1"], lambda _region: self.elbv2.client)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited {SECONDS} s"
            self.balancer.step()
            time.sleep(0.05)

    def state(self, backend: Backend) -> str:
        return target_health.health(GROUP, Target(*backend.target)).state

    def add(self, *backends: Backend) -> None:
        for backend in backends:
            self.elbv2.targets[backend.target] = "initial"
        self.until(lambda: all(self.state(backend) == "healthy" for backend in backends))

    def ask(
        self,
        path: str = "/",
        port: int = 80,
        method: str = "GET",
        header: tuple[str, str] | None = None,
        **headers: str,
    ) -> tuple[int, str, http.client.HTTPResponse]:
        """Send a request; `header` is one whose name no parameter can have."""
        local = ports.load()[BALANCER, port]
        connection: http.client.HTTPConnection = http.client.HTTPConnection("127.0.0.1", local, timeout=SECONDS)
        if port == 443:
            trusting = ssl.create_default_context(cafile=str(self.process.certificate()))
            connection = http.client.HTTPSConnection("127.0.0.1", local, timeout=SECONDS, context=trusting)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): text for name, text in headers.items()}
            connection.request(method, path, headers=named | dict([header] if header else []))
            response = connection.getresponse()
            return response.status, response.read().decode(), response


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """HAProxy on free ports, at ten times AWS's speed, in a folder whose path is too long for a socket's."""
    haproxy.ensure_installed()
    monkeypatch.setattr(paths, "STATE", tmp_path)
    monkeypatch.setattr(controller, "RULES_SECONDS", 0.0)
    monkeypatch.setenv("LOCAL_SPEED", "10")
    monkeypatch.setenv("LOCAL_HTTP_PORT", str(free_port()))
    monkeypatch.setenv("LOCAL_HTTPS_PORT", str(free_port()))
    folder = tmp_path / ("deep" * 25)
    folder.mkdir()
    made = Bench(folder)
    yield made
    made.balancer.close()
    assert made.process.runs_with() is None


def test_rules_are_followed_in_their_order(bench: Bench) -> None:
    def path(*patterns: str) -> dict[str, Any]:
        return {"Field": "path-pattern", "PathPatternConfig": {"Values": list(patterns)}}

    bench.elbv2.ports = {80: "HTTP", 443: "HTTPS"}
    bench.elbv2.default_action = answer("404", 'none\'s "own"')
    host = {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com"]}}
    query = {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2?"}]}}
    header = {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Kind", "Values": ["be*"]}}
    method = {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["POST"]}}
    source = {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}
    redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    bench.elbv2.add_rule(1, answer("200", "never"), path("/"), source)
    bench.elbv2.add_rule(2, answer("200", "both"), path("/both"), header)
    bench.elbv2.add_rule(3, forward(), path("/both", "/app/*", "/slow"))
    bench.elbv2.add_rule(4, answer("503", "too late"), path("/app/*"))
    bench.elbv2.add_rule(5, answer("200", "host"), host)
    bench.elbv2.add_rule(6, answer("200", "query"), query)
    bench.elbv2.add_rule(7, answer("200", "post"), method)
    bench.elbv2.add_rule(8, {"Type": "redirect", "RedirectConfig": redirect}, path("/secure/*"))
    bench.elbv2.add_rule_of_several(9, [authenticate(), forward()], path("/private/*"))
    backend = Backend("one")
    bench.add(backend)

    assert bench.ask("/private/a")[:2] == (501, "The local load balancer does not know the action authenticate-oidc.")
    assert bench.ask("/")[:2] == (404, 'none\'s "own"')
    assert bench.ask("/both")[1] == "one /both http"
    assert bench.ask("/both", X_Kind="Beta")[1] == "both"
    assert bench.ask("/app/a?x=1")[1] == "one /app/a?x=1 http"
    assert bench.ask("/app/a", port=443)[1] == "one /app/a https"
    assert bench.ask("/", Host="api.example.com:8080")[1] == "host"
    assert bench.ask("/?a=1&v=23")[1] == "query"
    assert bench.ask("/?v=234")[0] == 404
    assert bench.ask("/", method="POST", Content_Length="0")[1] == "post"
    secure = ports.load()[BALANCER, 443]
    for path_, rest in (("/secure/a", "/secure/a"), ("/secure/a?b=c&d", "/secure/a?b=c&d")):
        status, _, response = bench.ask(path_)
        assert (status, response.headers["location"]) == (301, f"https://127.0.0.1:{secure}{rest}")


def test_values_full_of_syntax_mean_what_they_mean_to_aws(bench: Bench) -> None:
    def header(name: str, *values: str) -> dict[str, Any]:
        return {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": name, "Values": list(values)}}

    def query(value: str, **key: str) -> dict[str, Any]:
        return {"Field": "query-string", "QueryStringConfig": {"Values": [{**key, "Value": value}]}}

    def path(*values: str, **more: list[str]) -> dict[str, Any]:
        return {"Field": "path-pattern", "PathPatternConfig": {"Values": list(values), **more}}

    body = 'a # \\ "it\'s" $HOME ${HOME} %[src] %% {x} é \t\r\nend'
    location = {"Host": "b.example", "Port": "81", "Path": "/50%/[$x]'\"/#{path}", "Query": "a=%20&b='#{query}'"}
    rules: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (path("/$x.~\"'@:+&*/?"), answer("200", "path")),
        (path(RegexValues=[r"^/(up|down)/\d{2}$"]), answer("200", "expression")),
        (header("X'#$%&*+.^_`|~!", "-f", "a \"b' (#c)*?"), answer("200", "header")),
        (header("X-Star", r"\*\?"), answer("200", "stars")),
        (header("X-Word", "é$%[src]"), answer("200", "word")),
        (query("[a]$", Key="k{}'"), answer("200", "query")),
        (query(r"\*"), answer("200", "star")),
        (path("/body"), answer("200", body)),
        (path("/nothing"), answer("204", "not sent")),
        (path("/moved/*"), {"Type": "redirect", "RedirectConfig": location | {"StatusCode": "HTTP_302"}}),
    ]
    bench.elbv2.default_action = answer("404", "none")
    for priority, (condition, action) in enumerate(rules, 1):
        rule = {"ListenerArn": "listener", "Priority": priority, "Conditions": [condition], "Actions": [action]}
        elbv2_validation.check("CreateRule", rule)
        bench.elbv2.add_rule(priority, action, condition)
    bench.balancer.step()

    assert bench.ask("/$x.~\"'@:+&and_more/1")[1] == "path"
    assert bench.ask("/$xx~\"'@:+&/1")[1] == bench.ask("/$x.~\"'@:+&/12")[1] == "none"
    assert (bench.ask("/up/12")[1], bench.ask("/up/1x")[1]) == ("expression", "none")
    assert bench.ask("/", header=("x'#$%&*+.^_`|~!", "-F"))[1] == "header"
    assert bench.ask("/", header=("X'#$%&*+.^_`|~!", "A \"b' (#c) and more"))[1] == "header"
    assert bench.ask("/", header=("X'#$%&*+.^_`|~!", "A \"b' (#c)"))[1] == "none"
    assert (bench.ask("/", X_Star="*?")[1], bench.ask("/", X_Star="ab")[1]) == ("stars", "none")
    assert bench.ask("/", X_Word="é$%[src]".encode().decode("latin-1"))[1] == "word"
    assert (bench.ask("/?k{}'=[a]$")[1], bench.ask("/?k{}'=a$")[1]) == ("query", "none")
    assert (bench.ask("/?a=*")[1], bench.ask("/?a=b")[1]) == ("star", "none")
    assert bench.ask("/body")[1] == body
    assert bench.ask("/nothing")[:2] == (204, "")
    where = bench.ask("/moved/a?c=%25")[2].headers["location"]
    assert where == "http://b.example:81/50%/[$x]'\"/moved/a?a=%20&b='c=%25'"


def test_the_client_is_named_as_by_a_load_balancer_of_aws(bench: Bench) -> None:
    backend = Backend("one")
    bench.add(backend)

    def forwarded(*given: str, **more: str) -> list[str] | None:
        """Return the headers X-Forwarded-For that a target gets when a client sends these."""
        local = ports.load()[BALANCER, 80]
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", local, timeout=SECONDS)) as connection:
            connection.putrequest("GET", "/x")
            for name, value in [*(("X-Forwarded-For", text) for text in given), *more.items()]:
                connection.putheader(name.replace("__", "-"), value)
            connection.endheaders()
            status = connection.getresponse().status
            return backend.headers.get_all("X-Forwarded-For") if status == 200 else [str(status)]

    assert forwarded() == ["127.0.0.1"]
    assert forwarded("") == ["127.0.0.1"]
    assert forwarded("1.2.3.4") == ["1.2.3.4, 127.0.0.1"]
    assert forwarded("1.2.3.4, 5.6.7.8", "9.9.9.9") == ["1.2.3.4, 5.6.7.8, 9.9.9.9, 127.0.0.1"]
    assert forwarded(*["1.1.1.1"] * 30) == [", ".join(["1.1.1.1"] * 30 + ["127.0.0.1"])]
    assert forwarded(", ".join(["1.1.1.1"] * 31)) == forwarded(*["1.1.1.1"] * 31) == ["463"]
    forwarded(**{"X__Forwarded__Proto": "https", "X__Forwarded__Port": "443"})
    assert [backend.headers.get_all(f"X-Forwarded-{name}") for name in ("Proto", "Port")] == [["http"], ["80"]]

    mode = "routing.http.xff_header_processing.mode"
    bench.elbv2.balancer_attributes = {
        **{mode: "append", "routing.http.xff_client_port.enabled": "true"},
        "routing.http.drop_invalid_header_fields.enabled": "true",
    }
    bench.balancer.step()
    (named,) = forwarded("1.2.3.4", X_Forwarded_For="6.6.6.6") or []
    assert re.fullmatch(r"1\.2\.3\.4, 127\.0\.0\.1:\d+", named)
    assert "X_Forwarded_For" not in backend.headers, "a service may read it as the other"
    bench.elbv2.balancer_attributes = {mode: "preserve"}
    bench.balancer.step()
    assert (forwarded("1.2.3.4", "5.6.7.8"), forwarded()) == (["1.2.3.4", "5.6.7.8"], None)
    bench.elbv2.balancer_attributes = {mode: "remove"}
    bench.balancer.step()
    assert forwarded("1.2.3.4") is None


def test_every_response_of_a_listener_has_its_headers(bench: Bench) -> None:
    key = "routing.http.response.strict_transport_security.header_value"
    bench.elbv2.ports = {443: "HTTPS"}
    bench.elbv2.add_rule(1, answer("200", "fixed"), {"Field": "path-pattern", "Values": ["/fixed"]})
    redirect = {"Type": "redirect", "RedirectConfig": {"Port": "444", "StatusCode": "HTTP_301"}}
    bench.elbv2.add_rule(2, redirect, {"Field": "path-pattern", "Values": ["/moved"]})
    bench.add(Backend("one"))

    def told() -> list[list[str] | None]:
        paths = ("/x", "/fixed", "/moved")
        return [bench.ask(path, port=443)[2].headers.get_all("Strict-Transport-Security") for path in paths]

    assert told() == [["max-age=7"], None, None]
    bench.elbv2.listener_attributes = {key: 'max-age=5; x="50%"'}
    bench.balancer.step()
    assert told() == [['max-age=5; x="50%"']] * 3
    bench.elbv2.listener_attributes = {key: ""}
    bench.balancer.step()
    assert told() == [["max-age=7"], None, None]


def test_what_haproxy_keeps_is_its_owners_alone(bench: Bench) -> None:
    bench.elbv2.ports = {443: "HTTPS"}
    bench.balancer.step()
    files = list(bench.process.socket.parent.iterdir())
    assert {"haproxy.cfg", "haproxy.sock", "balancer.pem"} <= {file.name for file in files}
    assert {file.name: oct(file.stat().st_mode & 0o077) for file in files if file.stat().st_mode & 0o077} == {}


def test_a_configuration_that_haproxy_refuses_stops_no_care_for_targets(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Backend("one"), Backend("two")
    bench.add(first)
    monkeypatch.setattr(haproxy_config, "_trace", lambda: iter([haproxy_syntax.line("no-such-directive")]))
    bench.add(second)
    assert {bench.ask("/x")[1].split()[0] for _ in range(4)} == {"one", "two"}


def test_targets_come_and_go_without_a_lost_request_or_a_new_worker(bench: Bench) -> None:
    first, second = Backend("one"), Backend("two")
    bench.add(first)
    worker = bench.process.command(haproxy_syntax.command("show", "info")).split("Pid: ")[1].split()[0]
    bench.add(second)
    assert {bench.ask("/x")[1].split()[0] for _ in range(4)} == {"one", "two"}

    answers: list[str] = []
    slow = [threading.Thread(target=lambda: answers.append(bench.ask("/held")[1])) for _ in range(2)]
    for thread in slow:
        thread.start()
    assert all(backend.held.wait(SECONDS) for backend in (first, second))
    bench.elbv2.targets[first.target] = "draining"
    bench.until(lambda: bench.state(first) == "draining")
    bench.balancer.step()
    assert not target_health.is_idle(GROUP, Target(*first.target)), "it still answers one"
    assert {bench.ask("/x")[1].split()[0] for _ in range(6)} == {"two"}
    for backend in (first, second):
        backend.release.set()
    for thread in slow:
        thread.join()
    assert sorted(answers) == ["one /held http", "two /held http"]
    bench.until(lambda: target_health.is_idle(GROUP, Target(*first.target)))
    del bench.elbv2.targets[first.target]
    bench.until(lambda: len([line for line in bench.process.statistics() if line["addr"]]) == 1)
    assert bench.process.command(haproxy_syntax.command("show", "info")).split("Pid: ")[1].split()[0] == worker


def test_health_is_measured_with_the_groups_own_numbers(bench: Bench) -> None:
    first, second = Backend("one"), Backend("two")
    bench.add(first, second)
    first.status = 503
    started = time.monotonic()
    bench.until(lambda: bench.state(first) == "unhealthy")
    # Three failures, ten of AWS's seconds apart.
    assert time.monotonic() - started > 1.5
    assert {bench.ask("/x")[1].split()[0] for _ in range(4)} == {"two"}
    # Without a healthy target all get requests, until one is healthy.
    second.status = 503
    bench.until(lambda: bench.state(second) == "unhealthy")
    bench.balancer.step()
    assert {bench.ask("/x")[1].split()[0] for _ in range(4)} == {"one", "two"}
    first.status = 200
    bench.until(lambda: bench.state(first) == "healthy")
    assert {bench.ask("/x")[1].split()[0] for _ in range(4)} == {"one"}
    second.status = 200
    bench.until(lambda: bench.state(second) == "healthy")
    assert {bench.ask("/x")[1].split()[0] for _ in range(4)} == {"one", "two"}
    bench.until(lambda: len([line for line in bench.process.statistics() if line["addr"]]) == 2)


def test_one_passed_check_makes_a_new_target_healthy_and_five_one_that_was_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_SPEED", "60")
    bench.elbv2.health_check |= {"HealthCheckIntervalSeconds": 20, "HealthyThresholdCount": 5}
    backend = Backend("one")
    bench.balancer.step()
    bench.add(backend)
    assert 1 <= backend.passed < 5
    backend.status = 500
    bench.until(lambda: bench.state(backend) == "unhealthy")
    backend.passed, backend.status = 0, 200
    bench.until(lambda: bench.state(backend) == "healthy")
    assert backend.passed >= 5


def test_a_target_starts_slowly_beside_warm_ones_only(bench: Bench) -> None:
    bench.elbv2.attributes["slow_start.duration_seconds"] = "60"
    first, second, third = (Backend(name) for name in ("one", "two", "three"))

    def weights() -> dict[int, int]:
        lines = [line for line in bench.process.statistics() if line["addr"]]
        return {int(line["addr"].rpartition(":")[2]): int(line["weight"]) for line in lines}

    bench.add(first, second)
    assert weights() == {first.target[1]: 100, second.target[1]: 100}
    bench.add(third)
    assert weights()[third.target[1]] < 100
    assert {bench.ask("/x")[1].split()[0] for _ in range(4)} >= {"one", "two"}


def test_an_answer_later_than_the_idle_timeout_is_a_504(bench: Bench) -> None:
    bench.elbv2.idle_timeout = 8
    bench.add(Backend("one"))
    assert bench.ask("/slow")[0] == 200
    bench.elbv2.idle_timeout = 1
    bench.balancer.step()
    assert bench.ask("/slower")[0] == 504


def test_a_pid_file_that_haproxy_is_writing_says_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.balancer.step()
    signals: list[int] = []
    kill = os.kill

    def kill_and_empty(pid: int, number: int) -> None:
        kill(pid, number)
        signals.append(number)
        # As HAProxy does on its way to a new worker.
        (bench.process.socket.parent / "haproxy.pid").write_text("")

    monkeypatch.setattr(os, "kill", kill_and_empty)
    bench.elbv2.add_rule(10, answer("404", "no"), {"Field": "path-pattern", "Values": ["/old"]})
    bench.balancer.step()
    monkeypatch.undo()
    assert signals == [signal.SIGUSR2]


def test_a_change_of_the_rules_loses_no_request(bench: Bench) -> None:
    backend = Backend("one")
    bench.add(backend)
    address = ports.load()[BALANCER, 80]
    load.ensure_installed()
    with subprocess.Popen(
        ["hey", "-z", "4s", "-c", "8", "-q", "25", f"http://127.0.0.1:{address}/x"], stdout=subprocess.PIPE, text=True
    ) as sending:
        time.sleep(1)
        for priority in (1, 2, 3):
            bench.elbv2.add_rule(priority, answer("404", "gone"), {"Field": "path-pattern", "Values": ["/old"]})
            bench.balancer.step()
            time.sleep(0.3)
        report = sending.communicate()[0]
    assert only_answered_with_200(report) > 0


def test_a_balancer_finds_the_haproxy_of_one_that_died(bench: Bench) -> None:
    backend = Backend("one")
    bench.add(backend)
    master = bench.process._pid()
    bench.balancer._keep_alives.forget_others(())
    bench.balancer = Balancer(Process(bench.process._folder), lambda: ["eu-west-1"], lambda _region: bench.elbv2.client)
    bench.balancer.step()
    assert (bench.process._pid(), bench.ask("/x")[0]) == (master, 200)


def only_answered_with_200(report: str) -> int:
    """Return how many requests hey sent; none may have been answered otherwise."""
    assert re.findall(r"^  \[(\d+)\]", report, re.MULTILINE) == ["200"], report
    assert "Error distribution" not in report, report
    return int(re.findall(r"\[200\]\s+(\d+) responses", report)[0])


# --- With real tasks


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose environment dev is up."""
    load.ensure_installed()
    with launched(Project(tmp_path_factory.mktemp("project"))) as project:
        yield project


def test_a_deployment_under_load_fails_no_request(project: Project) -> None:
    url = project.status()["url"]
    command = ["hey", "-z", "10m", "-c", "10", "-q", "10", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sending:
        project.replace("service/handlers.py", "HELLO WORLD", "HELLO AGAIN")
        launched = project.local("up")
        assert launched.returncode == 0, launched.stdout
        assert {get(url)[2] for _ in range(20)} == {"<h1>HELLO AGAIN</h1>"}
        # It then says what was answered.
        sending.send_signal(signal.SIGINT)
        report = sending.communicate()[0]
    assert only_answered_with_200(report) > 0


def test_a_task_that_fails_its_checks_is_replaced(project: Project) -> None:
    before = {task["id"] for task in project.status()["tasks"]}
    container = project.run("docker", "ps", "-q", "--filter", project.container_label).stdout.split()[0]
    assert project.run("docker", "pause", container).returncode == 0
    deadline = time.monotonic() + 240
    while len({task["id"] for task in project.status()["tasks"] if task["health"] == "healthy"} - before) < 1:
        assert time.monotonic() < deadline, project.status()
        time.sleep(1)
    assert project.run(sys.executable, "-m", "spotfleet", "status").returncode == 0
    assert get(project.status()["url"])[0] == 200


def test_a_release_that_crashes_is_tried_again_until_it_is_corrected(project: Project) -> None:
    """Tasks that end after they ran are no failures to the circuit breaker (rule E6), and the old ones serve on."""
    ecs, before = project.client("ecs"), project.status()["url"]
    (cluster,) = ecs.list_clusters()["clusterArns"]
    (service,) = ecs.list_services(cluster=cluster)["serviceArns"]
    place = {"cluster": cluster, "service": service}

    def primary() -> dict[str, Any]:
        (described,) = ecs.describe_services(cluster=cluster, services=[service])["services"]
        found: dict[str, Any] = described["deployments"][0] | {"count": len(described["deployments"])}
        return found

    good = primary()["taskDefinition"]
    kept = ("family", "containerDefinitions", "cpu", "memory", "networkMode", "volumes", "executionRoleArn")
    definition = ecs.describe_task_definition(taskDefinition=good)["taskDefinition"]
    definition["containerDefinitions"][0] |= {"entryPoint": ["python3", "-c", "raise SystemExit(1)"], "command": []}
    answer = ecs.register_task_definition(**{name: definition[name] for name in kept if name in definition})
    bad = answer["taskDefinition"]["taskDefinitionArn"]
    ecs.update_service(**place, taskDefinition=bad)
    ended: set[str] = set()
    deadline = time.monotonic() + 240
    while len(ended) < 5:
        assert time.monotonic() < deadline, (ended, primary())
        ended |= _ended(ecs, cluster, bad)
        time.sleep(1)
    assert (primary()["rolloutState"], primary()["failedTasks"]) == ("IN_PROGRESS", 0)
    assert get(before)[0] == 200
    ecs.update_service(**place, taskDefinition=good)
    while (primary()["rolloutState"], primary()["count"]) != ("COMPLETED", 1):
        assert time.monotonic() < deadline, primary()
        time.sleep(1)


def _ended(ecs: Any, cluster: str, definition: str) -> set[str]:  # noqa: ANN401  # as boto3's
    """Return the stopped tasks of a task definition that ended by themselves."""
    arns = ecs.list_tasks(cluster=cluster, desiredStatus="STOPPED")["taskArns"]
    stopped = ecs.describe_tasks(cluster=cluster, tasks=arns[-100:])["tasks"] if arns else []
    ours = [task for task in stopped if task["taskDefinitionArn"] == definition]
    return {task["taskArn"] for task in ours if task["stopCode"] == "EssentialContainerExited"}


async def test_the_live_page_shows_the_environment_in_a_browser(project: Project, tmp_path: Path) -> None:
    status = project.status()
    page = project.local("status").stdout.rpartition("Live page: ")[2].strip()
    figure = "document.querySelector('[data-figure=\"%s\"] b')?.textContent"
    with subprocess.Popen(["hey", "-z", "10m", "-c", "2", "-q", "10", status["url"]], stdout=subprocess.DEVNULL) as hey:
        try:
            async with chromium.tab(tmp_path) as tab:
                await tab.open(page)
                # However few arrive beside other work: they show.
                await tab.until(f"parseFloat({figure % 'requests per second'}) > 0")
                await tab.until(f"/^[0-9.]+ ms$/.test({figure % 'p99'})")
                assert await tab.value("document.querySelectorAll('.plot canvas').length") == 7
                text = await tab.value("document.body.textContent")
                assert tab.errors == []
        finally:
            hey.kill()
    for machine in status["machines"]:
        assert machine["id"] in text
        assert machine["zone"] in text
    for task in status["tasks"]:
        assert task["id"][:8] in text
        assert task["address"] in text
    for words in (*status["stacks"], status["url"], "healthy", "/ 70 %", "MiB free", "deployment of", "LOCAL_SPEED=10"):
        assert words in text

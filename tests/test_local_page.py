"""What the live page is given to show, and that a browser shows it."""

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from local import balancer_metrics, environment, packages, page, status
from local.page import Page
from tests.balancers import GROUP, OTHER_GROUP, FakeElbv2

SERVICE = "arn:aws:ecs:eu-west-1:000000000000:service/c/"
GROUPS = {"web": GROUP, "api": OTHER_GROUP}
TARGETS = {"web": 70.0, "api": 50.0}


class FakeAws:
    """What the scaling, metrics and tasks of two services answer, and their Auto Scaling group."""

    def describe_scaling_policies(self, ResourceId: str, **_parameters: str) -> dict[str, Any]:  # noqa: N803
        specification = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
        target = TARGETS[ResourceId.removeprefix("service/c/")]
        tracking = {"TargetValue": target, "PredefinedMetricSpecification": specification}
        return {"ScalingPolicies": [{}, {"TargetTrackingScalingPolicyConfiguration": tracking}]}

    def describe_scaling_activities(self, **parameters: str) -> dict[str, Any]:
        described = {"StartTime": datetime(2026, 11, 23, 12, tzinfo=UTC), "StatusCode": "Successful"}
        if "AutoScalingGroupName" in parameters:
            assert parameters == {"AutoScalingGroupName": "machines"}
            return {"Activities": [{**described, "Description": "Launching i-2", "Cause": "more is wanted"}]}
        name = parameters["ResourceId"].removeprefix("service/c/")
        return {"ScalingActivities": [{**described, "Description": f"Setting {name}", "Cause": f"{name} is busy"}]}

    def describe_services(self, services: list[str], **_parameters: str) -> dict[str, Any]:
        name = services[0].removeprefix(SERVICE)
        described = {"runningCount": 1, "desiredCount": 2, "events": [{"message": "steady"}]}
        return {"services": [{**described, "loadBalancers": [{"targetGroupArn": GROUPS[name]}]}]}

    def get_metric_data(self, **_parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"MetricDataResults": [{"Timestamps": [], "Values": []}]}


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Page:
    """The controller of an AWS that has the environment dev with two services."""

    def read(_name: str, _identity: dict[str, Any]) -> status.Status:
        current = status.Status("dev", desired_tasks=2, speed=10, groups=[("eu-west-1", "machines")])
        current.services = [("eu-west-1", f"{SERVICE}{name}") for name in GROUPS]
        current.tasks = [status.Task("t", "RUNNING", "healthy", "127.0.0.1:1", "web:1", "i-1")]
        return current

    monkeypatch.setattr(status, "read", read)
    monkeypatch.setattr(environment, "environments", lambda: ["dev", "prod"])
    monkeypatch.setattr(environment, "layers", lambda _name: ["service"])
    elbv2 = FakeElbv2()
    elbv2.targets = {("i-1", 32768): "healthy"}
    now = {"targetgroup/green/4444": balancer_metrics.Now(12.5, 0.003, 0.009, 0.5)}
    monkeypatch.setattr(balancer_metrics, "_now", now)
    identity = {"stacks": [{"name": "spotfleet-dev-service", "region": "eu-west-1"}], "controllers": []}
    return Page(lambda: identity, lambda name, _region: elbv2 if name == "elbv2" else FakeAws())


def test_the_page_has_every_launched_environment_with_its_history(watching: Page) -> None:
    watching.step()
    watching.step()
    shown = json.loads(json.dumps(page.snapshot()))
    assert [one["environment"] for one in shown["environments"]] == ["dev"]
    dev = shown["environments"][0]
    assert [(point["desired"], point["running"], point["rate"]) for point in dev["history"]] == [(2, 1, 12.5)] * 2


def test_the_page_has_the_figures_of_every_service(watching: Page) -> None:
    watching.step()
    web, api = page.snapshot()["environments"][0]["services"]
    assert (web["name"], web["desired"], web["running"], web["healthy"]) == ("web", 2, 1, 1)
    assert (web["cpu_target_percent"], web["events"], web["requests_per_second"]) == (70.0, ["steady"], 0.0)
    assert (web["p50"], web["p99"]) == (None, None)
    assert web["groups"][0]["targets"] == [{"id": "i-1", "port": 32768, "state": "healthy"}]
    assert (api["name"], api["healthy"], api["cpu_target_percent"]) == ("api", 0, 50.0)
    assert (api["requests_per_second"], api["errors_per_second"], api["p50"], api["p99"]) == (12.5, 0.5, 0.003, 0.009)
    assert [(one["what"], one["why"]) for one in api["activities"]] == [("Setting api", "api is busy")]


def test_the_page_tells_why_machines_come_and_go(watching: Page) -> None:
    watching.step()
    (activity,) = page.snapshot()["environments"][0]["machine_activities"]
    assert (activity["what"], activity["why"]) == ("Launching i-2", "more is wanted")
    assert activity["time"] == "2026-11-23T12:00:00+00:00"


def test_what_a_browser_was_given_stays_while_the_page_changes(watching: Page) -> None:
    watching.step()
    shown = page.snapshot()
    assert page.snapshot() is not shown
    shown.clear()
    assert page.snapshot()["environments"]


def test_an_aws_that_does_not_answer_is_an_error_and_not_an_empty_page() -> None:
    with pytest.raises(ConnectionError):
        Page(lambda: None).step()


def test_the_page_is_one_file_that_asks_this_machine_only() -> None:
    text = page.FILE.read_text()
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text
    assert "innerHTML" not in text


# --- In a browser

# What would run, or hide the rest, if it were taken for markup.
NASTY = "<img src=x onerror=\"document.title='broken'\"><!-- "


def shown_of_ten_services(watching: Page) -> dict[str, Any]:
    """Return what the page is given of ten services with nasty names and reasons."""
    watching.step()
    shown: dict[str, Any] = json.loads(json.dumps(page.snapshot()))
    dev = shown["environments"][0]
    api = dev["services"][1]
    activity = {**api["activities"][0], "why": f"{NASTY}because"}
    dev["services"] = [
        {**api, "name": f"{NASTY}service-{number}", "p99": number / 1000, "activities": [activity]}
        for number in range(1, 11)
    ]
    dev["machine_activities"] = [{**activity, "what": f"{NASTY}Launching i-2"}]
    return shown


@pytest.fixture
def address(watching: Page) -> Iterator[str]:
    """The address of a web server with the page and what it shows of ten services."""
    shown = shown_of_ten_services(watching)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if self.path.endswith("json") else "text/html")
            self.end_headers()
            self.wfile.write(json.dumps(shown).encode() if self.path.endswith("json") else page.FILE.read_bytes())

        def log_message(self, *_arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/page"
        web.shutdown()


@pytest.mark.e2e
def test_a_browser_shows_every_service_and_takes_no_text_for_markup(address: str, tmp_path: Path) -> None:
    browser = shutil.which("google-chrome") or "chromium"
    packages.ensure(browser, "Chromium (it looks at the live page)")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    dump = [*command, "--virtual-time-budget=3000", "--dump-dom", address]
    document = subprocess.run(
        dump, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True, timeout=60
    ).stdout
    assert "<title>spotfleet on this machine</title>" in document
    assert "<img" not in document
    text = html.unescape(re.sub(r"<[^>]+>", " ", document.partition("<main")[2]))
    for number in range(1, 11):
        assert f"{NASTY}service-{number}" in text
    assert re.findall(r'data-figure="p99"><b>(\d+) ms', document) == [str(number) for number in range(1, 11)]
    assert f"{NASTY}because" in text
    assert f"{NASTY}Launching i-2" in text

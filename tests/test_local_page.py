"""What the live page is given to show."""

import json
import re
import shutil
import subprocess
import threading
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from spotfleet.local.backchannel import traffic
from spotfleet.local.daemon import environment_status, page
from spotfleet.local.daemon.page import Page
from spotfleet.local.host import packages, paths
from tests.balancers import GROUP, FakeElbv2

SERVICE = "arn:aws:ecs:eu-west-1:000000000000:service/c/web"


class FakeAws:
    """What a service's scaling, metrics and tasks answer."""

    def describe_scaling_policies(self, **parameters: str) -> dict[str, Any]:
        assert parameters["ResourceId"] == "service/c/web"
        specification = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
        tracking = {"TargetValue": 70.0, "PredefinedMetricSpecification": specification}
        return {"ScalingPolicies": [{}, {"TargetTrackingScalingPolicyConfiguration": tracking}]}

    def describe_scaling_activities(self, **parameters: str) -> dict[str, Any]:
        activity = {
            "StartTime": datetime(2026, 3, 2, tzinfo=UTC),
            "Description": "Launching",
            "StatusCode": "Successful",
        }
        if "AutoScalingGroupName" in parameters:
            return {"Activities": [{**activity, "Cause": "an instance was started"}]}
        return {"ScalingActivities": []}

    def describe_services(self, **_parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        service = {"loadBalancers": [{"targetGroupArn": GROUP}], "events": [{"message": "steady"}]}
        return {"services": [{**service, "desiredCount": 2, "runningCount": 1}]}

    def get_metric_data(self, **_parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"MetricDataResults": [{"Timestamps": [], "Values": []}]}


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Page:
    """The controller of an AWS that has the environment dev with one service."""
    current = environment_status.Status("dev", desired_tasks=2, services=[("eu-west-1", SERVICE)], speed=10)
    current.groups = [("eu-west-1", "fleet")]
    current.tasks = [environment_status.Task("t", "RUNNING", "healthy", "127.0.0.1:1", "web:1", "i-1")]
    monkeypatch.setattr(environment_status, "read", lambda _name, _identity: current)
    monkeypatch.setattr(paths, "environments", lambda: ["dev", "prod"])
    monkeypatch.setattr(paths, "layers", lambda _name: ["service"])
    elbv2 = FakeElbv2()
    elbv2.targets = {("i-1", 32768): "healthy"}
    monkeypatch.setattr(traffic, "_now", {})
    identity = {"stacks": [{"name": "spotfleet-dev-service", "region": "eu-west-1"}], "controllers": []}
    return Page(lambda: identity, lambda name, _region: elbv2 if name == "elbv2" else FakeAws())


def test_the_page_has_every_launched_environment_with_its_history(watching: Page) -> None:
    watching.step()
    watching.step()
    shown = json.loads(json.dumps(page.snapshot()))
    assert [one["environment"] for one in shown["environments"]] == ["dev"]
    dev = shown["environments"][0]
    assert [(point["desired"], point["running"]) for point in dev["history"]] == [(2, 1), (2, 1)]
    service = dev["services"][0]
    assert (service["name"], service["cpu_target_percent"], service["events"]) == ("web", 70.0, ["steady"])
    assert (service["desired"], service["running"]) == (2, 1)
    activity = {"time": "2026-03-02T00:00:00+00:00", "what": "Launching", "why": "an instance was started"}
    assert dev["machine_activities"] == [activity | {"state": "Successful"}]
    group = service["groups"][0]
    assert group["targets"] == [{"id": "i-1", "port": 32768, "state": "healthy"}]
    assert (group["requests_per_second"], group["p99"]) == (0.0, None)


def test_an_aws_that_does_not_answer_is_an_error_and_not_an_empty_page() -> None:
    with pytest.raises(ConnectionError):
        Page(lambda: None).step()


def test_the_page_is_one_file_that_asks_this_machine_only() -> None:
    text = page.FILE.read_text()
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text
    assert "innerHTML" not in text


def drawn(folder: Path, shown: dict[str, Any]) -> str:
    """Return what a browser makes of the page when it is given this to show."""
    browser = shutil.which("google-chrome") or "chromium"
    packages.ensure(browser, "Chromium (it looks at the live page)")
    (folder / "page.html").write_text(page.FILE.read_text())
    (folder / "page.json").write_text(json.dumps(shown))
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'browser'}"]
        url = f"http://127.0.0.1:{server.server_port}/page.html"
        made = subprocess.run(
            [*command, "--virtual-time-budget=5000", "--dump-dom", url],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        server.shutdown()
    return made.stdout


@pytest.mark.e2e
def test_a_browser_shows_each_service_and_why_machines_came_and_went(watching: Page, tmp_path: Path) -> None:
    watching.step()
    shown = json.loads(json.dumps(page.snapshot()))
    dev = shown["environments"][0]
    web = dev["services"][0]
    group = {**web["groups"][0], "requests_per_second": 12.5, "p50": 0.003, "p99": 0.25}
    activity = {"time": "2026-03-02T00:00:00+00:00", "what": "To 3", "why": "<b>busy</b>", "state": "Successful"}
    api = {**web, "name": "api", "desired": 3, "running": 3, "cpu_percent": [64.6], "groups": [group]}
    dev["services"].append({**api, "activities": [activity]})
    dom = drawn(tmp_path, shown)
    first, second = (dom.partition(f'data-service="{name}"')[2].partition("</section>")[0] for name in ("web", "api"))
    figures = dict(re.findall(r'data-figure="([^"]+)"><b>([^<]*)', second))
    assert figures["tasks running / wanted"] == "3 / 3"
    assert figures["requests per second"] == "12.5"
    assert (figures["p50"], figures["p99"], figures["CPU / its target"]) == ("3 ms", "250 ms", "65 % / 70 %")
    assert dict(re.findall(r'data-figure="([^"]+)"><b>([^<]*)', first))["tasks running / wanted"] == "1 / 2"
    assert "an instance was started" in dom
    assert "&lt;b&gt;busy&lt;/b&gt;" in dom, "a reason is text, whatever is in it"

"""What the live page is given to show."""

import json
from typing import Any

import pytest

from local import balancer_metrics, environment, page, status
from local.page import Page
from tests.balancers import GROUP, FakeElbv2

SERVICE = "arn:aws:ecs:eu-west-1:000000000000:service/c/web"


class FakeAws:
    """What a service's scaling, metrics and tasks answer."""

    def describe_scaling_policies(self, **parameters: str) -> dict[str, Any]:
        assert parameters["ResourceId"] == "service/c/web"
        specification = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
        tracking = {"TargetValue": 70.0, "PredefinedMetricSpecification": specification}
        return {"ScalingPolicies": [{}, {"TargetTrackingScalingPolicyConfiguration": tracking}]}

    def describe_scaling_activities(self, **_parameters: str) -> dict[str, Any]:
        return {"ScalingActivities": []}

    def describe_services(self, **_parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"services": [{"loadBalancers": [{"targetGroupArn": GROUP}], "events": [{"message": "steady"}]}]}

    def get_metric_data(self, **_parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"MetricDataResults": [{"Timestamps": [], "Values": []}]}


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Page:
    """The controller of an AWS that has the environment dev with one service."""
    current = status.Status("dev", desired_tasks=2, services=[("eu-west-1", SERVICE)], speed=10)
    current.tasks = [status.Task("t", "RUNNING", "healthy", "127.0.0.1:1", "web:1", "i-1")]
    monkeypatch.setattr(status, "read", lambda _name, _identity: current)
    monkeypatch.setattr(environment, "environments", lambda: ["dev", "prod"])
    monkeypatch.setattr(environment, "layers", lambda _name: ["service"])
    elbv2 = FakeElbv2()
    elbv2.targets = {("i-1", 32768): "healthy"}
    monkeypatch.setattr(balancer_metrics, "_now", {})
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
    group = service["groups"][0]
    assert group["targets"] == [{"id": "i-1", "port": 32768, "state": "healthy"}]
    assert (group["requests_per_second"], group["p99"]) == (0.0, None)


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

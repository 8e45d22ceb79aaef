"""The resolver that names the alarms which can end a replacement of machines."""

import logging
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from hooks import quiet_alarms
from hooks.quiet_alarms import QuietAlarms
from tests.support.stacks import Answer, Aws, client_error, make_stack

OF = ["LoadBalancerErrors", "TargetErrors"]
STACKS = {
    "load-balancer": {"LoadBalancerErrors": "OK", "RejectedConnections": "OK"},
    "service": {"TargetErrors": "OK"},
    "service-2": {"TargetErrors": "INSUFFICIENT_DATA"},
    "api": {"TargetErrors": "ALARM"},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a file for each of these stacks, of which nothing was said yet."""
    monkeypatch.setattr(quiet_alarms, "_said", set())
    (tmp_path / "config/dev").mkdir(parents=True)
    for name in ("config", "machines", *STACKS):
        (tmp_path / f"config/dev/{name}.yaml").touch()
    return tmp_path


def describe(asked: dict[str, Any]) -> dict[str, Any]:
    found = {
        f"spotfleet-dev-{stack}-{alarm}-1A2B": state
        for stack, alarms in STACKS.items()
        for alarm, state in alarms.items()
    }
    alarms = [
        {"AlarmName": name, "StateValue": state}
        for name, state in found.items()
        if name.startswith(asked["AlarmNamePrefix"])
    ]
    return {"MetricAlarms": alarms}


def resolved(project: Path, answer: Answer = describe) -> str:
    """Return what the resolver gives the machines of the environment."""
    stack = make_stack("dev/machines", Aws({"cloudwatch.describe_alarms": answer}), project)
    return str(QuietAlarms({"of": OF}, stack).resolve())


def test_sceptre_finds_the_resolver() -> None:
    (entry_point,) = entry_points(group="sceptre.resolvers", name="quiet_alarms")
    assert entry_point.load() is QuietAlarms


def test_alarms_that_are_calm_are_named_and_one_that_rings_is_told_of_once(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert resolved(project).split(",") == [
            "spotfleet-dev-load-balancer-LoadBalancerErrors-1A2B",
            "spotfleet-dev-service-TargetErrors-1A2B",
        ]
        resolved(project)
    (told,) = caplog.records
    assert told.getMessage().endswith("would not end a replacement of machines: spotfleet-dev-api-TargetErrors-1A2B")


def test_before_there_is_a_service_there_are_none(project: Path) -> None:
    assert resolved(project, lambda _: {"MetricAlarms": []}) == ""


def test_no_more_are_named_than_a_policy_takes(project: Path) -> None:
    def many(asked: dict[str, Any]) -> dict[str, Any]:
        names = [f"{asked['AlarmNamePrefix']}{alarm}-{number}" for alarm in OF for number in range(9)]
        return {"MetricAlarms": [{"AlarmName": name, "StateValue": "OK"} for name in names]}

    found = resolved(project, many).split(",")
    assert len(found) == 10
    assert all("LoadBalancerErrors" in name for name in found)


def test_a_role_that_may_not_ask_launches_without_them(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    def denied(_: object) -> dict[str, Any]:
        raise client_error("AccessDenied", "not yours")

    with caplog.at_level(logging.WARNING):
        assert resolved(project, denied) == ""
    assert "no alarm can end a replacement of machines" in caplog.text

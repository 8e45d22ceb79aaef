"""The plan as a whole: refusals, the bill, the budget of a task's end, and what it says of itself."""

import json
from dataclasses import replace
from datetime import date
from hashlib import sha256
from typing import Any

import pytest

from spotfleet.plan import bill, freshness, notices, plan, prices, screen, shutdown_budget
from spotfleet.plan.bill import Bill
from spotfleet.plan.configurations import Configuration, nothing
from spotfleet.settings.environment import service_settings
from spotfleet.stacks import living_changes
from tests.support import sample_project
from tests.support.planned import configuration
from tools import create_only_properties, settings_page


def billed(planned: Configuration) -> Bill:
    """Return the bill of a configuration."""
    assert planned.settings
    return bill.of(planned.settings, planned.services.values())


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_bill_is_that_of_the_page_of_settings(environment: str) -> None:
    made = billed(configuration(environment))
    page = settings_page.settings_of(environment, sample_project.SAMPLE / "config")
    assert list(made.idle) == prices.floor(page, service_settings(page).values())
    assert f"| **together** | {made.range[0]:.2f} |" in settings_page.PAGE.read_text()


def test_the_full_bill_has_every_machine_and_its_surplus() -> None:
    settings = configuration(max_machines=5).settings
    assert settings
    idle, full, surplus = billed(configuration(max_machines=5)).range
    each = prices.spot("t3.micro") + prices.volume(settings)
    assert full == pytest.approx(idle + 4 * each)
    assert surplus == pytest.approx(full + 5 * prices.most_surplus("t3.micro") + prices.most_surplus("t4g.nano"))


def test_tasks_that_need_more_machines_than_the_fewest_are_billed_with_them() -> None:
    idle = billed(configuration(min_tasks=4, max_tasks=4)).idle
    # Two of them fill a micro.
    assert any(line.what == "Spot machines: 1 t3.micro" for line in idle)


def test_types_without_a_price_are_named() -> None:
    assert billed(configuration(instance_types=["m7i.large"])).unknown == ("m7i.large",)


def test_alarms_and_dashboards_are_billed_for_each_service_that_has_a_stack() -> None:
    one = configuration(alarms=True, dashboard=True)
    none, two = (replace(one, stacks={}), replace(one, stacks={**one.stacks, "api": one.stacks["service"]}))
    two = replace(
        two, settings=two.settings and two.settings.model_copy(update={"services": {"api": {"kind": "worker"}}})
    )
    found = [{line.what for line in billed(planned).idle} for planned in (none, one, two)]
    assert found[0] >= {"6 alarms"}
    assert found[1] >= {"12 alarms", "dashboard"}
    assert found[2] >= {"15 alarms", "2 dashboards"}
    assert billed(none).range[0] < billed(one).range[0] - prices.DASHBOARD


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"vpc_cidr": "10.9.0.0/16"}, "vpc_cidr"),
        ({"load_balancer_scheme": "internal"}, "load_balancer_scheme"),
        ({"cpu_architecture": "arm64", "instance_types": ["t4g.micro"]}, "cpu_architecture"),
        ({"subnet_host_bits": 11}, "subnet_host_bits"),
    ],
)
def test_what_the_hook_refuses_is_refused_with_its_words(settings: dict[str, Any], word: str) -> None:
    made = plan.make(configuration(), configuration(**settings))
    assert [text.split()[0] for text in made.refusals] == [word]
    assert "launch a second environment" in made.refusals[0]


def test_the_state_made_of_settings_is_refused_nothing_of_itself() -> None:
    for environment in ("dev", "prod"):
        found = configuration(environment)
        assert plan.make(found, found).refusals == ()


def test_a_first_launch_is_refused_nothing() -> None:
    assert plan.make(nothing("dev"), configuration()).refusals == ()


def test_what_aws_tells_comes_before_what_the_files_say() -> None:
    deployed = living_changes.Deployed(needed_images={"service": 9})
    made = plan.make(configuration(), configuration(kept_images=5), deployed)
    assert made.refusals[0].startswith("kept_images -> 5")


def failing(**settings: Any) -> set[str]:  # noqa: ANN401  # values of settings
    """Return the first words of the lines of the budget that do not hold."""
    return {
        line.arithmetic.split(" s")[0] for line in shutdown_budget.lines(configuration(**settings)) if not line.holds
    }


def test_the_shipped_times_go_together_but_for_answers_longer_than_the_deregistration() -> None:
    assert failing() == {"longest answer 60"}
    assert failing(deregistration_delay_seconds=60, stop_timeout_seconds=20) == set()


def test_each_line_of_the_budget_can_fail() -> None:
    kept = {"deregistration_delay_seconds": 60, "stop_timeout_seconds": 20}
    assert failing(**kept, environment_variables={"KEEPALIVE_SECONDS": "20"}) == {"keep-alive 20"}
    assert failing(**kept, environment_variables={"SHUTDOWN_SECONDS": "40"}) == {"drain 5 + open requests 40 + 3 = 48"}
    assert failing(**kept, health_check_grace_seconds=0, health_check_interval_seconds=6) == {"start 15"}


def test_spot_does_not_count_where_there_is_none() -> None:
    lines = shutdown_budget.lines(configuration(on_demand_percent_above_base=100))
    assert not any("Spot" in line.what for line in lines)


def test_what_is_older_than_a_year_is_said_with_its_date() -> None:
    assert freshness.remarks(date.fromisoformat(prices.DATE)) == []
    said = freshness.remarks(date(2028, 1, 1))
    assert [prices.DATE in said[0], freshness.SCHEMAS_DATE in said[1]] == [True, True]


def test_the_schemas_date_is_that_of_their_content() -> None:
    found = sha256(create_only_properties.FILE.read_bytes()).hexdigest()
    assert found.startswith(freshness.SCHEMAS_CONTENT), "write today's date and this hash into freshness.py"


def test_the_screen_and_the_json_say_the_same() -> None:
    made = plan.make(configuration(), configuration(root_volume_gib=40, vpc_cidr="10.9.0.0/16"))
    text = "\n".join(screen.lines(made, whole_bill=True))
    told = json.loads(json.dumps(plan.as_json(made)))
    assert told["compared_with"] in text
    assert all(refusal in text for refusal in told["refused"])
    assert f"{told['bill']['after']['idle']:.2f} idle" in text
    assert f"list prices of eu-west-1, as of {told['bill']['prices_of']}" in text
    rolled = [one for stack in told["stacks"] for one in stack["resources"] if one["does"] == "rolled"]
    assert [one["resource"] for one in rolled] == ["AutoScalingGroup"]
    assert [(one["what"], one["fits"]) for one in told["rolls"][:2]] == [("machines", True)] * 2
    assert f"takes {told['rolls'][0]['seconds'][1]:.0f} s" in text
    assert all(one["what"] in text for one in told["survives"])


def test_a_roll_in_which_requests_fail_is_never_noticed_as_nothing() -> None:
    alone: dict[str, Any] = {"min_tasks": 1, "max_tasks": 1, "min_healthy_percent": 0, "max_percent": 199}
    made = plan.make(configuration(**alone), configuration(**alone, task_memory_mib=200))
    assert [one.what for one in made.rolls] == ["tasks", "tasks"]
    assert made.rolls[0].refused
    assert made.rolls[0].refused[0] > 0
    assert made.noticed.what == notices.REFUSED

"""The environments in config/, whoever has changed them: they are valid, keep every rule, and run their hooks.

`make lint` renders and lints them.
"""

import pytest
from sceptre.stack import Stack

from spotfleet.configuration.given_settings import settings_of
from spotfleet.settings.problems import find_problems
from tests.rules.table import findings
from tests.support.rendered import layers
from tools.lint_templates import CONFIG, ENVIRONMENTS, plan

# In this order, whatever else stands between them: what refuses comes before what costs time.
BEFORE_LAUNCH = ["ValidSettings", "SafeChanges", "HealthyDependencies"]
BEFORE_LAUNCH_OF_TEMPLATES = {
    "vpc.yaml.j2": ["AdministratorPolicies", "ReplacedMachines"],
    "load_balancer.yaml.j2": ["PlainHttp"],
    "cluster.yaml.j2": [],
    "machines.yaml.j2": ["AdministratorPolicies", "WayIn", "ReplacedMachines"],
    "service.yaml.j2": ["AdministratorPolicies", "WatchedTasks", "DockerImage"],
}
# What settings decide for a container that is not ours: how large its tasks are, who it runs as, what it may write.
OF_CHOICE = ("rule 16:", "rule 93:")
BEFORE_DELETE = ["NoDependants", "DeletionProtection"]
BEFORE_DELETE_OF_TEMPLATES = {"machines.yaml.j2": ["EmptyFleet"]}
AFTER_LAUNCH = ["FailureReason", "TerminationProtection"]


def stacks(environment: str) -> list[Stack]:
    return sorted(plan(environment).graph, key=lambda stack: str(stack.name))


def has_in_order(stack: Stack, event: str, names: list[str]) -> bool:
    found = [type(hook).__name__ for hook in stack.hooks[event]]
    return [name for name in found if name in names] == names


def test_config_folder_itself_holds_no_stack() -> None:
    # Sceptre would merge config/vpc.yaml into config/dev/vpc.yaml without a word.
    assert [file.name for file in CONFIG.glob("*.yaml")] == ["config.yaml"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_settings_are_valid(environment: str) -> None:
    assert find_problems(settings_of(stacks(environment)[0].config)) == {}


@pytest.mark.parametrize("environment", [name for name in ENVIRONMENTS if name == "prod"])
def test_production_is_protected(environment: str) -> None:
    for stack in stacks(environment):
        assert settings_of(stack.config)["deletion_protection"] is True
        if stack.config["template"]["path"] == "load_balancer.yaml.j2":
            assert stack._parameters["DeletionProtection"] == "true"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_rule_is_kept(environment: str) -> None:
    found = findings(layers(stacks(environment)))
    assert [finding for finding in found if not finding.startswith(OF_CHOICE)] == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_stack_has_its_hooks_in_order_and_of_its_own(environment: str) -> None:
    for stack in stacks(environment):
        template = stack.config["template"]["path"]
        if template in BEFORE_LAUNCH_OF_TEMPLATES:
            assert has_in_order(stack, "before_launch", BEFORE_LAUNCH + BEFORE_LAUNCH_OF_TEMPLATES[template])
            assert has_in_order(stack, "before_delete", BEFORE_DELETE + BEFORE_DELETE_OF_TEMPLATES.get(template, []))
            assert has_in_order(stack, "after_launch", AFTER_LAUNCH)
        # Hooks inherited from a config.yaml are shared objects in Sceptre 4.7 and act for the wrong stack.
        assert all(hook.stack is stack for hooks in stack.hooks.values() for hook in hooks)

"""What the verbs about machines ask: the Auto Scaling groups of an environment and the machines in them."""

from dataclasses import dataclass
from typing import Any

from spotfleet.behaviour.machine_life import Machine
from spotfleet.behaviour.record import Record
from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.api.machines import read_machines
from spotfleet.local.daemon import environment_status
from spotfleet.local.host import paths
from spotfleet.local.host.console import Failure


@dataclass(frozen=True)
class Fleet:
    """The groups of an environment, as Auto Scaling describes them, and their machines."""

    region: str
    groups: list[Record]
    machines: list[Machine]


def identity() -> dict[str, Any]:
    """Return what the embedded AWS says about itself; Failure when it does not run."""
    found = embedded_aws.find()
    if found is None:
        raise Failure(f"The embedded AWS does not run at {paths.endpoint()}. Start it with: spotfleet up")
    return found


def read(name: str) -> Fleet:
    """Return the fleet of an environment; Failure when it has no Auto Scaling group."""
    for stack, region in environment_status.stack_names(name, identity()).items():
        resources = clients.client("cloudformation", region).describe_stack_resources(StackName=stack)["StackResources"]
        names = [
            item["PhysicalResourceId"]
            for item in resources
            if item["ResourceType"] == "AWS::AutoScaling::AutoScalingGroup" and item.get("PhysicalResourceId")
        ]
        if names:
            autoscaling = clients.client("autoscaling", region)
            groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"]
            return Fleet(region, groups, [machine for machine in read_machines(region) if machine.group in names])
    raise Failure(f"{name} has no machines: launch it with: spotfleet up {name}")

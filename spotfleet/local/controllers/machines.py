"""The machines: they boot and join the cluster, are drained before they go, and their number follows the tasks.

Plays the parts of the ECS agent (registration, draining on a Spot notice), of EC2 Auto Scaling (replacing what died)
and of ECS's managed scaling and draining, in one loop over what the public APIs say. Nothing is remembered between
steps but the minutes that managed scaling has measured and not yet acted upon and the failures that were told, so that
it can be restarted at any time.
"""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from botocore.exceptions import ClientError, EndpointConnectionError, HTTPClientError

from spotfleet.behaviour.delays import NOTICE_HEEDED
from spotfleet.behaviour.machine_life import (
    Machine,
    has_booted,
    is_drained,
    is_due,
    must_drain,
    offered,
)
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.spot_notice import NOTICE_SECONDS
from spotfleet.facts import instance_types
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.api.clients import pages
from spotfleet.local.api.ecs import read_clusters
from spotfleet.local.api.machines import read_machines
from spotfleet.local.controllers import group_capacity, instance_refresh, rolling_update
from spotfleet.local.controllers.managed_scaling import ManagedScaling, is_managed
from spotfleet.local.host import clock, delays

logger = logging.getLogger("spotfleet.fleet")

# Real seconds between two looks, at least.
SHORTEST_PAUSE = 0.05


class Fleet(controller.Controller):
    """Keeps the machines of every region."""

    name = "fleet"

    def __init__(self) -> None:
        self.interval = controller.pace()
        self._scaling: dict[tuple[str, str, str], ManagedScaling] = {}
        self._failures: dict[str, str] = {}

    def step(self) -> None:
        """Boot, replace, drain and scale the machines."""
        notices = []
        for region in embedded_aws.regions():
            machines = read_machines(region)
            notices += [machine.notice for machine in machines if machine.running and machine.notice]
            # Before tasks of a machine that begins to drain wait for another one, which it would be counted beside.
            self._scale(region, machines)
            for machine in machines:
                with self._apart(f"The machine {machine.id} in {region}"):
                    _keep(region, machine)
            self._roll(region, machines)
        self.interval = until_next(notices, time.time())

    @contextmanager
    def _apart(self, what: str) -> Iterator[None]:
        """Let what fails for one machine, cluster or group stop no other one; a failure that lasts is told once."""
        try:
            yield
        except (EndpointConnectionError, HTTPClientError):
            # The embedded AWS answers nobody.
            raise
        except Exception as error:
            if self._failures.get(what) != repr(error):
                self._failures[what] = repr(error)
                # An error that AWS answers: what it is about went, or is not there yet.
                trace = None if isinstance(error, ClientError) else error
                logger.warning("%s failed, and is tried again: %s", what, error, exc_info=trace)
        else:
            self._failures.pop(what, None)

    def _roll(self, region: str, machines: Sequence[Machine]) -> None:
        """Replace the machines that their group would launch differently today."""
        launched = {machine.id: machine.launched for machine in machines}
        for group in pages(clients.client("autoscaling", region), "describe_auto_scaling_groups", "AutoScalingGroups"):
            name = group["AutoScalingGroupName"]
            with self._apart(f"The launches of {name} in {region}"):
                instance_refresh.end_launches(region, name, machines)
            with self._apart(f"The signals of {name} in {region}"):
                rolling_update.signal(region, name, machines)
            with self._apart(f"The capacity of {name} in {region}"):
                group_capacity.step(region, group, machines)
            with self._apart(f"The roll of {name} in {region}"):
                rolling_update.step(region, group, launched)
                instance_refresh.step(region, group)

    def _scale(self, region: str, machines: Sequence[Machine]) -> None:
        """Let every capacity provider set its group's size."""
        ecs = clients.client("ecs", region)
        for cluster in read_clusters(ecs):
            names = cluster.get("capacityProviders") or []
            providers = ecs.describe_capacity_providers(capacityProviders=names)["capacityProviders"] if names else []
            for provider in filter(is_managed, providers):
                place = (region, cluster["clusterName"], provider["name"])
                with self._apart(f"The scaling by {provider['name']} in {region}"):
                    self._scaling.setdefault(place, ManagedScaling(*place)).step(provider, machines)


def until_next(notices: Sequence[float], now: float) -> float:
    """Return how long to wait until the next look, in real seconds: EC2 takes a machine when its notice is over (S1).

    `notices` are when they are over, in seconds since 1970, as `now` is.
    """
    return min([controller.pace(), *(max(SHORTEST_PAUSE, moment - now) for moment in notices)])


def _keep(region: str, machine: Machine) -> None:
    """Take one machine one step further."""
    now = time.time()
    ecs, autoscaling = clients.client("ecs", region), clients.client("autoscaling", region)
    if has_booted(machine, clock.aws_seconds(now - machine.launched)):
        _register(ecs, machine)
    if is_due(machine, now):
        logger.info("EC2 takes the Spot machine %s back.", machine.id)
        clients.client("ec2", region).terminate_instances(InstanceIds=[machine.id])
    if must_drain(machine, _since_notice(machine, now), delays.of(NOTICE_HEEDED, machine.id)):
        logger.info("The machine %s drains.", machine.id)
        ecs.update_container_instances_state(
            cluster=_cluster(machine.ecs),
            containerInstances=[machine.ecs["containerInstanceArn"]],  # type: ignore[index]  # must_drain saw it
            status="DRAINING",
        )
    elif is_drained(machine) and machine.running:
        autoscaling.complete_lifecycle_action(
            AutoScalingGroupName=machine.group,
            InstanceId=machine.id,
            LifecycleHookName="ecs-managed-draining-termination-hook",
            LifecycleActionResult="CONTINUE",
        )


def _since_notice(machine: Machine, now: float) -> float:
    """Return how long ago EC2 gave a machine its notice, in AWS's seconds; 0 where it has none."""
    return NOTICE_SECONDS - clock.aws_seconds(machine.notice - now) if machine.notice is not None else 0.0


def _cluster(container_instance: Record | None) -> str:
    """Return the cluster in a container instance's ARN: ...:container-instance/<cluster>/<id>."""
    return str(container_instance["containerInstanceArn"]).split("/")[1] if container_instance else ""


def _register(ecs: clients.Client, machine: Machine) -> None:
    """Do what the ECS agent does when its machine has booted."""
    cpu, memory = offered(machine.type, machine.agent)
    ecs.register_container_instance(
        cluster=machine.agent.get("ECS_CLUSTER", "default"),
        instanceIdentityDocument=json.dumps({"instanceId": machine.id, "instanceType": machine.type}),
        totalResources=[
            {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": memory},
        ],
        attributes=[
            {"name": "ecs.availability-zone", "value": machine.zone},
            {"name": "ecs.instance-type", "value": machine.type},
            {"name": "ecs.cpu-architecture", "value": instance_types.architecture(machine.type)},
            {"name": "ecs.os-type", "value": "linux"},
        ],
    )
    logger.info("The machine %s (%s, %s) joins.", machine.id, machine.type, machine.zone)

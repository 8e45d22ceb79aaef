"""Resource types of ECS."""

import time
from collections.abc import Mapping
from typing import Any

from spotfleet.local.api.clients import Client, Value, pages
from spotfleet.local.emulator import deployments
from spotfleet.local.emulator.api_parameters import api_parameters
from spotfleet.local.emulator.resource_types.base import (
    Clients,
    Owner,
    Properties,
    Resource,
    ignore,
    update_ecs_tags,
    without_tags,
)
from spotfleet.local.host import clock

# How long CloudFormation waits for a service, in AWS's seconds: three hours, as users report, and 36 where the
# deployment has a bake time (rule F3).
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-ecs-service-deploymentconfiguration.html
STEADY_SECONDS = 3 * 3600
STEADY_SECONDS_WITH_BAKE_TIME = 36 * 3600

STEADY_POLL_SECONDS = 0.25

# DescribeTasks takes so many tasks at most, and the last that stopped is looked for.
DESCRIBED_AT_ONCE = 100


class CapacityProvider:
    """AWS::ECS::CapacityProvider. Ref is the name."""

    def create(self, clients: Clients, owner: Owner, properties: Properties) -> Resource:
        """Make the provider of an Auto Scaling group's machines."""
        ecs = clients("ecs")
        parameters = api_parameters(ecs, "CreateCapacityProvider", self._with_arn(clients, properties))
        parameters["name"] = properties.get("Name") or owner.generated_name()
        provider = ecs.create_capacity_provider(**parameters)["capacityProvider"]
        # MiniStack keeps managedDraining only when it is updated.
        self._update_group(clients, provider["name"], properties)
        return provider["name"], {}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change scaling, protection, draining and tags; another name or group needs a new provider."""
        if self._identity(old) != self._identity(new):
            return self.create(clients, owner, new)
        self._update_group(clients, physical_id, new)
        provider = clients("ecs").describe_capacity_providers(capacityProviders=[physical_id])["capacityProviders"][0]
        update_ecs_tags(clients("ecs"), provider["capacityProviderArn"], old, new)
        return physical_id, {}

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Delete the provider."""
        ignore("not found", clients("ecs").delete_capacity_provider, capacityProvider=physical_id)

    @staticmethod
    def _identity(properties: Properties) -> tuple[Any, Any]:
        return properties.get("Name"), properties.get("AutoScalingGroupProvider", {}).get("AutoScalingGroupArn")

    @staticmethod
    def _with_arn(clients: Clients, properties: Properties) -> dict[str, Any]:
        """Return the properties with the group's ARN, for which a template may give the group's name."""
        group = dict(properties["AutoScalingGroupProvider"])
        if not group["AutoScalingGroupArn"].startswith("arn:"):
            name = group["AutoScalingGroupArn"]
            groups = clients("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
            if not groups["AutoScalingGroups"]:
                raise ValueError(f"The Auto Scaling group {name} does not exist")
            group["AutoScalingGroupArn"] = groups["AutoScalingGroups"][0]["AutoScalingGroupARN"]
        return {**properties, "AutoScalingGroupProvider": group}

    @staticmethod
    def _update_group(clients: Clients, name: str, properties: Properties) -> None:
        group = dict(properties["AutoScalingGroupProvider"])
        group.pop("AutoScalingGroupArn", None)
        if group:
            changes = api_parameters(clients("ecs"), "UpdateCapacityProvider", {"AutoScalingGroupProvider": group})
            clients("ecs").update_capacity_provider(name=name, **changes)


class ClusterCapacityProviderAssociations:
    """AWS::ECS::ClusterCapacityProviderAssociations. Ref is the cluster's name."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Give the cluster its capacity providers: the list replaces the one it had."""
        ecs = clients("ecs")
        ecs.put_cluster_capacity_providers(**api_parameters(ecs, "PutClusterCapacityProviders", properties))
        return properties["Cluster"], {}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Replace the list."""
        removed = set(old["CapacityProviders"]) - set(new["CapacityProviders"])
        if new["Cluster"] == physical_id:
            self._refuse_while_used(clients, physical_id, removed)
        return self.create(clients, owner, new)

    def delete(self, clients: Clients, physical_id: str, properties: Properties) -> None:
        """Take the providers from the cluster; as in ECS, not while a service uses one."""
        ecs = clients("ecs")
        clusters = ecs.describe_clusters(clusters=[physical_id])["clusters"]
        if not clusters or clusters[0]["status"] != "ACTIVE":
            return
        self._refuse_while_used(clients, physical_id, set(properties["CapacityProviders"]))
        ecs.put_cluster_capacity_providers(
            cluster=physical_id, capacityProviders=[], defaultCapacityProviderStrategy=[]
        )

    @staticmethod
    def _refuse_while_used(clients: Clients, cluster: str, providers: set[str]) -> None:
        ecs = clients("ecs")
        for arn in pages(ecs, "list_services", "serviceArns", cluster=cluster):
            service = ecs.describe_services(cluster=cluster, services=[arn])["services"][0]
            used = {item["capacityProvider"] for item in service.get("capacityProviderStrategy", [])}
            if used & providers:
                name = service["serviceName"]
                raise ValueError(f"The specified capacity provider is in use and cannot be removed: service {name}")


class TaskDefinition:
    """AWS::ECS::TaskDefinition. Ref is the ARN of one revision."""

    def create(self, clients: Clients, owner: Owner, properties: Properties) -> Resource:
        """Register a family's first revision."""
        return self._register(clients, properties.get("Family") or owner.generated_name(), properties)

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change the tags; anything else registers the next revision."""
        if without_tags(old) != without_tags(new):
            if old.get("Family") != new.get("Family"):
                return self.create(clients, owner, new)
            family = physical_id.rpartition("/")[2].rpartition(":")[0]
            return self._register(clients, family, new)
        update_ecs_tags(clients("ecs"), physical_id, old, new)
        return physical_id, {"TaskDefinitionArn": physical_id}

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Deregister the revision."""
        ignore("Unable to describe", clients("ecs").deregister_task_definition, taskDefinition=physical_id)

    @staticmethod
    def _register(clients: Clients, family: str, properties: Properties) -> Resource:
        ecs = clients("ecs")
        parameters = {**api_parameters(ecs, "RegisterTaskDefinition", properties), "family": family}
        arn = ecs.register_task_definition(**parameters)["taskDefinition"]["taskDefinitionArn"]
        return arn, {"TaskDefinitionArn": arn}


REPLACING_A_SERVICE = ("Cluster", "DeploymentController", "LaunchType", "Role", "SchedulingStrategy", "ServiceName")


class Service:
    """AWS::ECS::Service: done when the service is steady, failed when its deployment fails. Ref is the ARN."""

    def create(self, clients: Clients, owner: Owner, properties: Properties) -> Resource:
        """Create the service and wait for its tasks; one that never got steady is removed again."""
        ecs = clients("ecs")
        parameters = self._parameters(ecs, "CreateService", properties)
        parameters["serviceName"] = properties.get("ServiceName") or owner.generated_name()
        service = ecs.create_service(**parameters)["service"]
        owner.begun(service["serviceArn"])
        try:
            self._wait(ecs, service, owner)
        except Exception:  # whatever it is: the stack knows nothing of a service that was not created
            self.delete(clients, service["serviceArn"], properties)
            raise
        return self._resource(service)

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change what differs and wait for the deployment, which ECS starts when the tasks change."""
        if any(old.get(name) != new.get(name) for name in REPLACING_A_SERVICE):
            return self.create(clients, owner, new)
        ecs = clients("ecs")
        changed = {name: value for name, value in new.items() if old.get(name) != value or name == "DesiredCount"}
        parameters = self._parameters(ecs, "UpdateService", without_tags(changed))
        place = {"cluster": new.get("Cluster", "default"), "service": physical_id}
        described = ecs.describe_services(cluster=place["cluster"], services=[physical_id])["services"]
        if described and _primary(described[0])["rolloutState"] == "FAILED":
            # It has given up, and would not start a task again.
            parameters["forceNewDeployment"] = True
        service = ecs.update_service(**{**parameters, **place})["service"]
        update_ecs_tags(ecs, physical_id, old, new)
        self._wait(ecs, service, owner)
        return self._resource(service)

    @staticmethod
    def _parameters(ecs: Client, operation: str, properties: Properties) -> dict[str, Value]:
        # The one property whose name in the API is another word.
        renamed = {"placementStrategy" if k == "PlacementStrategies" else k: v for k, v in properties.items()}
        return api_parameters(ecs, operation, renamed)

    def delete(self, clients: Clients, physical_id: str, properties: Properties) -> None:
        """Stop the tasks and delete the service."""
        cluster = properties.get("Cluster", "default")
        ignore("not found", clients("ecs").delete_service, cluster=cluster, service=physical_id, force=True)

    @staticmethod
    def _resource(service: Mapping[str, Any]) -> Resource:
        return service["serviceArn"], {"ServiceArn": service["serviceArn"], "Name": service["serviceName"]}

    def _wait(self, ecs: Client, service: dict[str, Any], owner: Owner) -> None:
        deployment_id = _primary(service)["id"]
        bakes = (service.get("deploymentConfiguration") or {}).get("bakeTimeInMinutes")
        patience = STEADY_SECONDS_WITH_BAKE_TIME if bakes else STEADY_SECONDS
        deadline = time.monotonic() + clock.seconds(patience)
        while not self._steady(ecs, service, deployment_id):
            end = owner.ends_early()
            if time.monotonic() > deadline:
                end = f"{service['serviceName']} was not steady after {patience} s."
            if end:
                raise ValueError(f"{end} {_last_stop(ecs, service)}")
            time.sleep(STEADY_POLL_SECONDS)
            place = {"cluster": service["clusterArn"], "services": [service["serviceArn"]]}
            service = ecs.describe_services(**place)["services"][0]

    @staticmethod
    def _steady(ecs: Client, service: dict[str, Any], deployment_id: str) -> bool:
        deployment = next((item for item in service["deployments"] if item["id"] == deployment_id), None)
        if deployment is None or deployment["status"] != "PRIMARY" or deployment["rolloutState"] == "FAILED":
            cause = (deployment or {}).get("rolloutStateReason") or deployments.failure_in(
                service["events"], deployment_id
            )
            cause = cause or "Another deployment took its place."
            if deployment and "image digest" in cause:
                # No task gets as far as stopping for it.
                raise ValueError(f"{cause} {_missing_images(ecs, deployment['taskDefinition'])}")
            raise ValueError(f"{cause} {_last_stop(ecs, service)}")
        settled = deployment["rolloutState"] == "COMPLETED" and len(service["deployments"]) == 1
        return settled and bool(service["runningCount"] == service["desiredCount"])


def _primary(service: Mapping[str, Any]) -> dict[str, Any]:
    return next(item for item in service["deployments"] if item["status"] == "PRIMARY")


def _missing_images(ecs: Client, task_definition: str) -> str:
    """Return in the words of ECS that the images of a task definition could not be found."""
    definition = ecs.describe_task_definition(taskDefinition=task_definition)["taskDefinition"]
    images = ", ".join(sorted({container["image"] for container in definition["containerDefinitions"]}))
    return f"CannotPullContainerError: failed to resolve ref {images}: not found."


def _last_stop(ecs: Client, service: Mapping[str, Any]) -> str:
    """Return why a task of the service stopped last."""
    place = {"cluster": service["clusterArn"]}
    arns = list(
        pages(ecs, "list_tasks", "taskArns", **place, serviceName=service["serviceName"], desiredStatus="STOPPED")
    )
    if not arns:
        return "No task stopped."
    tasks = ecs.describe_tasks(**place, tasks=arns[-DESCRIBED_AT_ONCE:])["tasks"]
    # What the scheduler stops afterwards says nothing of the cause.
    causes = [item for item in tasks if not item.get("stoppedReason", "").startswith("Scaling activity initiated")]
    task = max(causes or tasks, key=lambda item: str(item.get("stoppedAt", "")))
    codes = {str(item["exitCode"]) for item in task["containers"] if item.get("exitCode") is not None}
    exits = f" (exit code {', '.join(sorted(codes))})" if codes else ""
    return f"Last task stopped: {task.get('stoppedReason', 'no reason given')}{exits}"

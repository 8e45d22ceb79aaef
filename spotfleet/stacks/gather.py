"""Reads from AWS what may explain a failed launch or an unhealthy environment; changes nothing.

Each source is asked a bounded number of times. What AWS refuses to tell is remembered, and the rest still used.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from sceptre.exceptions import SceptreException
from sceptre.stack import Stack

from spotfleet.stacks import account, stack_state
from spotfleet.stacks.evidence import (
    GROUP_TYPE,
    LONG_AGO,
    SERVICE_TYPE,
    STACK_TYPE,
    Activity,
    Certificate,
    Container,
    Definition,
    Evidence,
    GroupFacts,
    Machine,
    ServiceFacts,
    StackEvent,
    StackFacts,
    StoppedTask,
    Target,
    Told,
)
from spotfleet.stacks.stack_state import ABSENT

# Of a stack's last operation, in pages of AWS's of a hundred.
MOST_EVENT_PAGES = 5
# ECS keeps stopped tasks for an hour, and describes a hundred at once.
MOST_TASKS = 100
# Logs are read of the first tasks that failed, and of the last one.
FIRST_LOGS = 2
HAVE_RUN = {"EssentialContainerExited", "ServiceSchedulerInitiated"}
LOG_LINES = 20
MOST_ACTIVITIES = 50
MOST_REFRESHES = 5
TASK_TYPE = "AWS::ECS::TaskDefinition"
CERTIFICATE_TYPE = "AWS::CertificateManager::Certificate"
DENIED = {
    *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"),
    *("NotAuthorized", "UnauthorizedException"),
}

# Of services whose actions have another prefix in IAM than boto3's name.
IAM_NAMES = {"elbv2": "elasticloadbalancing"}

Answer = dict[str, Any]


def gather(stacks: Sequence[Stack]) -> Evidence:
    """Return what AWS tells of stacks of one environment.

    Raises ClientError and BotoCoreError where not even CloudFormation answers, such as with expired credentials.
    """
    reader = _Reader(stacks)
    facts = [reader.stack(one) for one in stacks]
    resources = {one.name: reader.resources(one, found) for one, found in zip(stacks, facts, strict=True)}
    services = [service for found in facts for service in reader.services(found, resources[found.name])]
    groups = [reader.group(found, name) for found in facts for name in resources[found.name].get(GROUP_TYPE, [])]
    certificates = [
        reader.certificate(arn) for found in facts for arn in resources[found.name].get(CERTIFICATE_TYPE, [])
    ]
    return Evidence(
        environment=stacks[0].name.rpartition("/")[0],
        stacks=facts,
        services=services,
        groups=groups,
        certificates=[one for one in certificates if one],
        machines=[one for cluster in sorted(reader.clusters) for one in reader.machines(cluster)],
        unread=sorted(reader.unread),
        is_embedded=_is_embedded(stacks[0]),
        aws_options=stack_state.aws_options(stacks[0]),
    )


def _is_embedded(stack: Stack) -> bool:
    try:
        return account.is_embedded(stack)
    except SceptreException:
        # A network may lead to CloudFormation alone. The embedded AWS always says what it is.
        return False


def _told(items: Iterable[tuple[datetime | None, str]], since: datetime) -> list[Told]:
    found = [Told(time, text) for time, text in items if time and text and time >= since]
    return sorted(found, key=lambda one: one.time)


@dataclass
class _Reader:
    """Calls of one environment's account and region, and what was learnt on the way."""

    stacks: Sequence[Stack]
    unread: set[str] = field(default_factory=set)
    clusters: set[str] = field(default_factory=set)
    # By stack the cluster that its parameter names: where its service was taken back nothing else tells.
    cluster_of: dict[str, str] = field(default_factory=dict)

    def _ask(self, service: str, command: str, **kwargs: object) -> Answer:
        answer: Answer = self.stacks[0].connection_manager.call(service=service, command=command, kwargs=kwargs)
        return answer

    def _try(self, service: str, command: str, **kwargs: object) -> Answer:
        """Return an answer, or nothing where AWS has none or refuses it, which is remembered."""
        try:
            return self._ask(service, command, **kwargs)
        except ClientError as error:
            if error.response["Error"]["Code"] in DENIED:
                self.unread.add(
                    f"{IAM_NAMES.get(service, service)}:{''.join(word.title() for word in command.split('_'))}"
                )
            return {}

    def stack(self, stack: Stack) -> StackFacts:
        """Return a stack's state and the events of its last operation."""
        description = stack_state.describe(stack)
        status = description["StackStatus"]
        self.cluster_of[stack.name] = stack_state.parameters(description).get("ClusterName", "")
        events = [] if status == ABSENT else self._events(stack)
        return StackFacts(stack.name, stack.external_name, status, events, stack_state.way_out(stack, status))

    def _events(self, stack: Stack) -> list[StackEvent]:
        found: list[StackEvent] = []
        token: dict[str, str] = {}
        for _ in range(MOST_EVENT_PAGES):
            page = self._try("cloudformation", "describe_stack_events", StackName=stack.external_name, **token)
            for item in page.get("StackEvents", []):
                found.append(_event(item))
                if found[-1].starts_operation:
                    return found[::-1]
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}
        return found[::-1]

    def resources(self, stack: Stack, facts: StackFacts) -> dict[str, list[str]]:
        """Return by type the ids of a stack's resources, and of those that its last operation has taken back."""
        found: dict[str, list[str]] = {}
        ids = [(one.type, one.physical_id) for one in facts.events]
        if facts.status != ABSENT:
            answer = self._try("cloudformation", "describe_stack_resources", StackName=stack.external_name)
            listed = answer.get("StackResources", [])
            ids = [*((one["ResourceType"], one.get("PhysicalResourceId", "")) for one in listed), *ids]
        for kind, name in dict.fromkeys(ids):
            if name:
                found.setdefault(kind, []).append(name)
        return found

    def services(self, stack: StackFacts, resources: dict[str, list[str]]) -> list[ServiceFacts]:
        """Return the services of a stack; an ARN ends in service/<cluster>/<service>."""
        since = stack.since or LONG_AGO
        found = []
        for arn in resources.get(SERVICE_TYPE, []):
            parts = arn.split("/")
            if len(parts) != len(("service", "cluster", "name")):
                continue
            self.clusters.add(parts[1])
            answer = self._try("ecs", "describe_services", cluster=parts[1], services=[arn])
            service: Answer = next(iter(answer.get("services", [])), {})
            found.append(self._service(stack, parts[1], service or {"serviceName": parts[2]}, resources, since))
        if not found and TASK_TYPE in resources and (cluster := self.cluster_of[stack.name]):
            self.clusters.add(cluster)
            found.append(self._service(stack, cluster, {"serviceName": stack.layer}, resources, since))
        return found

    def _service(
        self, stack: StackFacts, cluster: str, service: Answer, resources: dict[str, list[str]], since: datetime
    ) -> ServiceFacts:
        definitions = list(dict.fromkeys([*resources.get(TASK_TYPE, []), service.get("taskDefinition", "")]))
        described = self._definition(service.get("taskDefinition") or next(iter(resources.get(TASK_TYPE, [])), ""))
        deployments = [
            (one.get("updatedAt"), one.get("rolloutStateReason") or one["rolloutState"])
            for one in service.get("deployments", [])
            if one.get("rolloutState", "COMPLETED") != "COMPLETED"
        ]
        groups = [one["targetGroupArn"] for one in service.get("loadBalancers", []) if "targetGroupArn" in one]
        return ServiceFacts(
            stack=stack.name,
            name=service["serviceName"],
            desired=service.get("desiredCount", 0),
            running=service.get("runningCount", 0),
            pending=service.get("pendingCount", 0),
            deployments=_told(deployments, LONG_AGO),
            events=_told(((one.get("createdAt"), one["message"]) for one in service.get("events", [])), since),
            stopped=self._stopped(cluster, [one for one in definitions if one], since),
            targets=[target for group in groups for target in self._targets(group)],
            definition=_definition(described, self._health_check_path(groups)),
        )

    def _definition(self, arn: str) -> Answer:
        answer = self._try("ecs", "describe_task_definition", taskDefinition=arn) if arn else {}
        found: Answer = answer.get("taskDefinition", {})
        return found

    def _health_check_path(self, groups: Sequence[str]) -> str:
        if not groups:
            return ""
        answer = self._try("elbv2", "describe_target_groups", TargetGroupArns=list(groups))
        return next((one.get("HealthCheckPath", "") for one in answer.get("TargetGroups", [])), "")

    def _targets(self, group: str) -> list[Target]:
        answer = self._try("elbv2", "describe_target_health", TargetGroupArn=group)
        states = [one["TargetHealth"] for one in answer.get("TargetHealthDescriptions", [])]
        return [Target(one.get("State", ""), one.get("Reason", ""), one.get("Description", "")) for one in states]

    def _stopped(self, cluster: str, definitions: Sequence[str], since: datetime) -> list[StoppedTask]:
        """Return the tasks that have stopped, by their family: a service that was taken back lists none any more."""
        families = dict.fromkeys(one.rpartition("/")[2].rpartition(":")[0] for one in definitions)
        arns: list[str] = []
        for family in families:
            answer = self._try("ecs", "list_tasks", cluster=cluster, family=family, desiredStatus="STOPPED")
            arns += answer.get("taskArns", [])
        if not arns:
            return []
        answer = self._try("ecs", "describe_tasks", cluster=cluster, tasks=arns[:MOST_TASKS])
        # One that still stops is listed, and has no such time.
        ended = [one for one in answer.get("tasks", []) if "stoppedAt" in one and one["stoppedAt"] >= since]
        ended.sort(key=lambda one: one["stoppedAt"])
        with_log = [one for one in ended if one.get("stopCode") in HAVE_RUN]
        shown = {one["taskArn"]: one for one in [*with_log[:FIRST_LOGS], *with_log[-1:]]}
        logged = {arn: self._log(one) for arn, one in shown.items()}
        return [_task(one, logged.get(one["taskArn"])) for one in ended]

    def _log(self, task: Answer) -> list[str] | None:
        """Return the last lines that a task's containers have printed; None where they cannot be read."""
        lines: list[str] | None = None
        for container in self._definition(task["taskDefinitionArn"]).get("containerDefinitions", []):
            options = container.get("logConfiguration", {}).get("options", {})
            if "awslogs-group" not in options:
                continue
            stream = f"{options.get('awslogs-stream-prefix', '')}/{container['name']}/{_id(task['taskArn'])}"
            place = {"logGroupName": options["awslogs-group"], "logStreamName": stream}
            answer = self._try("logs", "get_log_events", **place, limit=LOG_LINES, startFromHead=False)
            if "events" in answer:
                lines = [*(lines or []), *(one["message"] for one in answer["events"])]
        return lines

    def group(self, stack: StackFacts, name: str) -> GroupFacts:
        """Return an Auto Scaling group with what it did lately."""
        answer = self._try("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[name])
        group: Answer = next(iter(answer.get("AutoScalingGroups", [])), {})
        told = self._try(
            "autoscaling", "describe_scaling_activities", AutoScalingGroupName=name, MaxRecords=MOST_ACTIVITIES
        )
        refreshed = self._try(
            "autoscaling", "describe_instance_refreshes", AutoScalingGroupName=name, MaxRecords=MOST_REFRESHES
        )
        overrides = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("Overrides", [])
        activities = [
            Activity(one["StartTime"], one["StatusCode"], one.get("Description", ""), one.get("StatusMessage", ""))
            for one in told.get("Activities", [])
        ]
        refreshes = [
            Activity(one.get("EndTime") or one["StartTime"], one["Status"], "refresh", one.get("StatusReason", ""))
            for one in refreshed.get("InstanceRefreshes", [])
            if one.get("StartTime")
        ]
        return GroupFacts(
            stack=stack.name,
            name=name,
            desired=group.get("DesiredCapacity", 0),
            in_service=sum(one["LifecycleState"] == "InService" for one in group.get("Instances", [])),
            most=group.get("MaxSize", 0),
            types=[one["InstanceType"] for one in overrides if "InstanceType" in one],
            activities=sorted(activities, key=lambda one: one.time),
            refreshes=sorted(refreshes, key=lambda one: one.time),
        )

    def certificate(self, arn: str) -> Certificate | None:
        """Return a certificate, with the record that validates the first domain that is not validated."""
        found = (
            self._try("acm", "describe_certificate", CertificateArn=arn).get("Certificate") if ":acm:" in arn else None
        )
        if not found:
            return None
        options = found.get("DomainValidationOptions", [])
        waiting: Answer = next((one for one in options if one.get("ValidationStatus") != "SUCCESS"), {})
        record = waiting.get("ResourceRecord", {})
        words = f"{record['Name']} {record['Type']} {record['Value']}" if record else ""
        domain = waiting.get("DomainName") or found["DomainName"]
        return Certificate(domain, found.get("Status", ""), found.get("FailureReason", ""), words)

    def machines(self, cluster: str) -> list[Machine]:
        """Return the machines that have joined a cluster."""
        arns = self._try("ecs", "list_container_instances", cluster=cluster).get("containerInstanceArns", [])
        if not arns:
            return []
        answer = self._try("ecs", "describe_container_instances", cluster=cluster, containerInstances=arns)
        return [_machine(one) for one in answer.get("containerInstances", [])]


def _event(item: Answer) -> StackEvent:
    is_stack = item.get("PhysicalResourceId") == item["StackId"]
    kind = STACK_TYPE if is_stack else item.get("ResourceType", "")
    reason = " ".join(item.get("ResourceStatusReason", "").split())
    return StackEvent(
        time=item["Timestamp"],
        resource=item.get("LogicalResourceId", ""),
        type=kind,
        status=item.get("ResourceStatus", ""),
        reason=reason,
        physical_id="" if is_stack else item.get("PhysicalResourceId", ""),
    )


def _id(arn: str) -> str:
    return arn.rpartition("/")[2]


def _task(item: Answer, log: Sequence[str] | None) -> StoppedTask:
    containers = [
        Container(one.get("name", ""), one.get("exitCode"), one.get("reason", "")) for one in item.get("containers", [])
    ]
    code, reason = item.get("stopCode", ""), " ".join(item.get("stoppedReason", "").split())
    return StoppedTask(_id(item["taskArn"]), item["stoppedAt"], code, reason, containers, log)


def _definition(found: Answer, health_check_path: str) -> Definition:
    container: Answer = next(iter(found.get("containerDefinitions", [])), {})
    ports = [one.get("containerPort", 0) for one in container.get("portMappings", [])]
    return Definition(
        image=container.get("image", ""),
        memory_mib=int(container.get("memory") or found.get("memory") or 0),
        cpu_units=int(found.get("cpu") or container.get("cpu") or 0),
        port=ports[0] if ports else 0,
        architecture=found.get("runtimePlatform", {}).get("cpuArchitecture", ""),
        health_check_path=health_check_path,
        log_group=container.get("logConfiguration", {}).get("options", {}).get("awslogs-group", ""),
    )


def _machine(item: Answer) -> Machine:
    has = {one["name"]: one.get("integerValue", 0) for one in item.get("registeredResources", [])}
    return Machine(
        item.get("ec2InstanceId", ""), has.get("CPU", 0), has.get("MEMORY", 0), item.get("agentConnected", True)
    )

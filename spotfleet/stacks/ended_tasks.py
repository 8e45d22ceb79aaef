"""Watches a service's tasks while its stack is launched, and says of those that end which setting they lack.

CloudFormation says of a service that cannot start only that its deployment failed, and takes the log group of a failed
creation away with the rest: what its containers said has to be read while they end. And it waits for hours: a container
that ends after it has run is no failure to ECS's circuit breaker (aws/containers-roadmap#1206), however often.
"""

import re
import threading
from logging import Logger
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sceptre.stack import Stack

from spotfleet.behaviour.circuit_breaker import threshold
from spotfleet.settings import shown
from spotfleet.stacks import name_stack_in_errors, stack_state
from spotfleet.stacks.container_ends import other_port, setting_that_lacks, was_ended_from_outside

ATTRIBUTE = "spotfleet_ended_tasks"
POLL_SECONDS = 3.0
# What DescribeTasks takes.
DESCRIBED_AT_ONCE = 100
# Lines of a log that are read, from its end.
LINES = 50
SERVICE, LOG_GROUP = "Service", "LogGroup"
CODES = re.compile(r"codes: \[(?P<codes>[0-9, ]+)\]")


def watch(stack: Stack, logger: Logger) -> None:
    """Begin to watch the service of a stack; a second call for the same stack object does nothing."""
    if ATTRIBUTE not in vars(stack):
        vars(stack)[ATTRIBUTE] = watcher = EndedTasks(stack, logger)
        threading.Thread(target=watcher.run, daemon=True, name=f"ended tasks of {stack.name}").start()


def first_cause(stack: Stack) -> str | None:
    """Stop to watch, and return what the first task lacked that ended while the stack was launched, if it is known."""
    watcher: EndedTasks | None = vars(stack).pop(ATTRIBUTE, None)
    return watcher.stop() if watcher else None


class EndedTasks:
    """The tasks of a stack's service that have ended since the watch began."""

    def __init__(self, stack: Stack, logger: Logger) -> None:
        self._stack, self._logger = stack, logger
        self._over = threading.Event()
        self._looking = threading.Lock()
        # By cause, the tasks that ended of it.
        self._causes: dict[str, int] = {}
        # Those that had ended before: known when they are first asked for.
        self._seen: set[str] = set()
        self._is_first = True
        # Whether it has tried to end the launch.
        self._has_given_up = False
        # The task definition that a launch finds, of whose tasks nothing is told.
        self._before = ""
        # So many tasks have to end of one cause until the launch is ended as well: one may have met what has passed.
        self._enough = threshold({}, 0)
        # Why the load balancer holds a task for unhealthy, and the path that it asks for.
        self._failed_check: tuple[str, str] | None = None

    def run(self) -> None:
        """Look at the tasks every few seconds, until the watch is over."""
        wait = 0.0
        while not self._over.wait(wait):
            self._try()
            wait = POLL_SECONDS

    def stop(self) -> str | None:
        """Look once more, and return the first cause that was found."""
        self._over.set()
        self._try()
        return next(iter(self._causes), None)

    def _try(self) -> None:
        try:
            with self._looking:
                self.look()
        except (BotoCoreError, ClientError):
            # The stack or the service is not there yet, or not any more, or the role may not ask: nobody waits for it.
            return

    def look(self) -> None:
        """Ask for the tasks that have ended, and say of each new cause what it is."""
        description = stack_state.describe(self._stack)
        parameters = stack_state.parameters(description)
        cluster = parameters.get("ClusterName", "")
        service = self._service(cluster)
        if service is None:
            self._is_first = False
            return
        wanted = str(service.get("taskDefinition", ""))
        self._enough = enough(parameters, int(service.get("desiredCount", 0)))
        self._look_at_targets(service)
        ended = self._ended(cluster, wanted.rpartition("/")[2].partition(":")[0])
        # All tasks of a service that is being created are of this launch, however late it is first seen.
        if self._is_first and description["StackStatus"] != "CREATE_IN_PROGRESS":
            self._before = wanted
            self._seen.update(ended)
        self._is_first = False
        new = [arn for arn in ended if arn not in self._seen][:DESCRIBED_AT_ONCE]
        if not new:
            return
        self._seen.update(new)
        tasks = self._call("ecs", "describe_tasks", cluster=cluster, tasks=new)["tasks"]
        for task in sorted(tasks, key=lambda one: str(one.get("stoppedAt", ""))):
            if task.get("lastStatus") != "STOPPED":
                # Its exit code is not known yet.
                self._seen.discard(task["taskArn"])
            elif task["taskDefinitionArn"] == wanted != self._before and (cause := self._cause(task)):
                # It may hold a piece of what the container has printed.
                self._count(shown.harmless(shown.without_addresses(cause)))

    def _ended(self, cluster: str, family: str) -> list[str]:
        asked: dict[str, str] = {"cluster": cluster, "family": family, "desiredStatus": "STOPPED"}
        page = self._call("ecs", "list_tasks", **asked)
        found = list(page["taskArns"])
        while page.get("nextToken"):
            page = self._call("ecs", "list_tasks", **asked, nextToken=page["nextToken"])
            found += page["taskArns"]
        return found

    def _service(self, cluster: str) -> dict[str, Any] | None:
        """Return the stack's service, which CloudFormation names after it; it need not say so until it is made."""
        token: dict[str, str] = {}
        while cluster:
            page = self._call("ecs", "list_services", cluster=cluster, **token)
            for arn in page["serviceArns"]:
                if str(arn).rpartition("/")[2].startswith(f"{self._stack.external_name}-{SERVICE}-"):
                    found = self._call("ecs", "describe_services", cluster=cluster, services=[arn])["services"]
                    return found[0] if found else None
            if not page.get("nextToken"):
                return None
            token = {"nextToken": page["nextToken"]}
        return None

    def _count(self, cause: str) -> None:
        self._causes[cause] = self._causes.get(cause, 0) + 1
        if self._causes[cause] == 1:
            self._logger.warning("A task of %s has ended: %s", self._stack.name, cause)
        if self._causes[cause] >= self._enough and not self._has_given_up and not self._over.is_set():
            self._has_given_up = True
            self._end_launch(cause)

    def _end_launch(self, cause: str) -> None:
        """Let CloudFormation give up: an update goes back to what ran, and of a creation nothing is left."""
        status = stack_state.describe(self._stack)["StackStatus"]
        counted = f"{self._enough} tasks of {self._stack.name} have ended of it"
        try:
            if status == "UPDATE_IN_PROGRESS":
                stack_state.cancel_update(self._stack)
                self._logger.error("%s: the update is cancelled", counted)
            elif status == "CREATE_IN_PROGRESS":
                self._delete(cause)
                self._logger.error("%s: its creation is ended", counted)
        except (BotoCoreError, ClientError) as error:
            reason = " ".join(str(error).split())
            self._logger.error("%s, but the launch goes on, as this role may not end it: %s", counted, reason)

    def _delete(self, cause: str) -> None:
        # Sceptre may ask for the stack before this is back, and is told why there is none.
        name_stack_in_errors.explain_end(self._stack, cause)
        try:
            stack_state.call_with_role(self._stack, "delete_stack")
        except (BotoCoreError, ClientError):
            name_stack_in_errors.forget_end(self._stack)
            raise
        # The next one to ask for the stack must be Sceptre, not this watch.
        self._over.set()

    def _look_at_targets(self, described: dict[str, Any]) -> None:
        """Remember why a target is unhealthy: when its task has ended, it is none any more."""
        for balancer in described.get("loadBalancers", []):
            arn = balancer["targetGroupArn"]
            health = self._call("elbv2", "describe_target_health", TargetGroupArn=arn)
            for target in health["TargetHealthDescriptions"]:
                state = target["TargetHealth"]
                if state["State"] == "unhealthy" and state.get("Description"):
                    (group,) = self._call("elbv2", "describe_target_groups", TargetGroupArns=[arn])["TargetGroups"]
                    self._failed_check = str(state["Description"]), str(group.get("HealthCheckPath", ""))

    def _cause(self, task: dict[str, Any]) -> str | None:
        if was_ended_from_outside(task.get("stopCode", ""), task.get("stoppedReason", "")):
            return None
        for container in task.get("containers", []):
            log = self._log(container["name"], task["taskArn"].rpartition("/")[2])
            words = [text for text in (container.get("reason"), task.get("stoppedReason")) if text]
            if cause := setting_that_lacks([*log, *words], container.get("exitCode")):
                return cause
            if "health" in str(task.get("stoppedReason", "")).lower():
                port = self._port(task["taskDefinitionArn"], container["name"])
                found = other_port(log, port) if port else None
                return found or (of_health_check(*self._failed_check) if self._failed_check else None)
        return None

    def _log(self, container: str, task: str) -> list[str]:
        try:
            group = self._physical_id(LOG_GROUP)
            stream = f"ecs/{container}/{task}"
            answer = self._call("logs", "get_log_events", logGroupName=group, logStreamName=stream, limit=LINES)
        except ClientError:
            # A container that was never started has no log.
            return []
        return [event["message"] for event in answer["events"]]

    def _port(self, task_definition: str, container: str) -> int | None:
        found = self._call("ecs", "describe_task_definition", taskDefinition=task_definition)["taskDefinition"]
        ports = [
            int(mapping["containerPort"])
            for one in found["containerDefinitions"]
            if one["name"] == container
            for mapping in one.get("portMappings", [])
        ]
        return ports[0] if ports else None

    def _physical_id(self, logical_id: str) -> str:
        answer = self._call(
            *("cloudformation", "describe_stack_resource"),
            StackName=self._stack.external_name,
            LogicalResourceId=logical_id,
        )
        return str(answer["StackResourceDetail"].get("PhysicalResourceId", ""))

    def _call(self, service: str, command: str, **kwargs: object) -> dict[str, Any]:
        answer: dict[str, Any] = self._stack.connection_manager.call(service=service, command=command, kwargs=kwargs)
        return answer


def enough(parameters: dict[str, str], desired: int) -> int:
    """Return how many tasks have to end of one cause until a launch is ended: as many as ECS's circuit breaker counts.

    `parameters` are the stack's, `desired` the tasks that its service wants. See rule E5.
    """
    return int(parameters.get("DeploymentFailures") or 0) or threshold({}, desired)


def of_health_check(reason: str, path: str) -> str:
    """Return a sentence on why health checks fail, from the load balancer's reason.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/check-target-health.html#target-health-reason-codes
    """
    found = CODES.search(reason)
    if not found:
        return f"its health checks at {path} fail ({reason}): see container_port and health_check_grace_seconds"
    codes = found["codes"].replace(" ", "")
    first = codes.partition(",")[0]
    if first.startswith("3"):
        return (
            f"{path} answers {codes}, a redirect: set health_check_path to the path that it leads to, or add {first} "
            "to health_check_codes if a redirect says that all is well"
        )
    if first in {"401", "403"}:
        return f"{path} answers {codes}: set health_check_path to one that needs no login"
    if first == "404":
        return f"{path} answers 404: set health_check_path to a path that the service has"
    return f"{path} answers {codes}: set health_check_path or health_check_codes, or mend what it answers"

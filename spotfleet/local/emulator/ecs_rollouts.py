"""ECS ends a deployment: completed, or failed by its tasks or its alarms, and then rolled back.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html
"""

import time
from collections.abc import Iterator

from ministack.core.concurrency import resource_lock
from ministack.services import cloudwatch, ecs

from spotfleet.behaviour import circuit_breaker
from spotfleet.behaviour.circuit_breaker import Failure
from spotfleet.local.emulator import event_bridge
from spotfleet.local.emulator.patching import replaces
from spotfleet.local.emulator.records import Record
from spotfleet.local.emulator.service_events import tell
from spotfleet.local.host import clock


@replaces(ecs, "_record_service_task_failure")
def record_failure(task: Record, digest_resolution_failed: bool = False) -> None:
    """Count a task that failed; MiniStack counts one that ended after it ran as well, which AWS does not (rule E6)."""
    cluster = task.get("clusterArn", "").rpartition("/")[2]
    key = f"{cluster}/{task.get('group', '').removeprefix('service:')}"
    with resource_lock("ecs-service", key):
        service = ecs._services.get(key)
        if not service or service["status"] != "ACTIVE" or task.get("_counted"):
            return
        deployment = ecs._deployment_for_task(service, task)
        if deployment is None or deployment is not ecs._primary_deployment(service):
            return
        breaker = _configuration(service).get("deploymentCircuitBreaker") or {}
        if digest_resolution_failed:
            if breaker.get("enable"):
                words = "was triggered after three unsuccessful image digest resolution attempts."
                _break(service, deployment, words, breaker)
            return
        has_run = any(item.get("startedAt") for item in _tasks_of(deployment))
        if deployment["rolloutState"] != "IN_PROGRESS" or not circuit_breaker.counts(_kind(task), has_run=has_run):
            return
        task["_counted"] = True
        deployment["failedTasks"] = count = int(deployment.get("failedTasks", 0)) + 1
        deployment["updatedAt"] = ecs._iso()
        if breaker.get("enable") and count >= circuit_breaker.threshold(breaker, service["desiredCount"]):
            _break(service, deployment, f"was triggered after {count} consecutive task failures.", breaker)


def _kind(task: Record) -> Failure:
    if "_failed_because" in task:
        return Failure.HEALTH
    return Failure.EXIT if task.get("startedAt") else Failure.START


def _tasks_of(deployment: Record) -> Iterator[Record]:
    return (task for task in list(ecs._tasks.values()) if task.get("_deployment_id") == deployment["id"])


def _configuration(service: Record) -> Record:
    configuration: Record = service.get("deploymentConfiguration") or {}
    return configuration


def count_healthy(service: Record, deployment: Record) -> None:
    """Begin the count of consecutive failures anew with a task that got healthy."""
    breaker = _configuration(service).get("deploymentCircuitBreaker") or {}
    if deployment["rolloutState"] == "IN_PROGRESS" and breaker.get("resetOnHealthyTask", True):
        deployment["failedTasks"] = 0


def _break(service: Record, deployment: Record, words: str, breaker: Record) -> None:
    reason = f"ECS deployment circuit breaker {words}"
    _fail(service, deployment, reason, "tasks failed to start.", rollback=bool(breaker.get("rollback")))


def _fail(service: Record, deployment: Record, reason: str, words: str, *, rollback: bool) -> None:
    """End a deployment as failed, and go back to the last one that was completed; a rollback that fails stays."""
    deployment |= {"rolloutState": "FAILED", "rolloutStateReason": reason, "desiredCount": 0, "updatedAt": ecs._iso()}
    tell(service, f"(deployment {deployment['id']}) deployment failed: {words}")
    event_bridge.tell_deployment(service, deployment, "SERVICE_DEPLOYMENT_FAILED", reason, kind=event_bridge.ERROR)
    others = [item for item in service["deployments"] if item is not deployment]
    before = next((item for item in others if item["rolloutState"] == "COMPLETED"), None)
    if not rollback or before is None or deployment.get("_is_rollback"):
        return
    deployment["status"] = "ACTIVE"
    # Their alarms are looked at anew, as for any deployment that starts.
    before.pop("_alarms", None)
    before.pop("_baking_since", None)
    before |= {"status": "PRIMARY", "desiredCount": service["desiredCount"], "updatedAt": ecs._iso()}
    before |= {"rolloutState": "IN_PROGRESS", "rolloutStateReason": "ECS deployment rollback in progress."}
    before |= {"_is_rollback": True, "failedTasks": 0}
    service["taskDefinition"] = before["taskDefinition"]
    service["deployments"] = [before, *[item for item in service["deployments"] if item is not before]]
    tell(service, f"rolling back to deployment {before['id']}.")
    event_bridge.tell_deployment(service, before, "SERVICE_DEPLOYMENT_IN_PROGRESS", before["rolloutStateReason"])


def follow(cluster: str, service: Record, *, done: bool) -> None:
    """Look at the alarms of the deployment under way, and complete it when its tasks and its bake time are done."""
    deployment = ecs._primary_deployment(service)
    if not deployment or deployment["rolloutState"] != "IN_PROGRESS":
        return
    _tell_begin(service, deployment)
    alarms = _alarms(service, deployment)
    ringing = sorted(item["AlarmName"] for item in alarms if item["StateValue"] == "ALARM")
    if ringing:
        reason = f"ECS deployment failed: alarm detected: {', '.join(ringing)}."
        rollback = bool(_configuration(service)["alarms"].get("rollback"))
        with resource_lock("ecs-service", f"{cluster}/{service['serviceName']}"):
            _fail(service, deployment, reason, "alarm detected.", rollback=rollback)
    elif not done:
        deployment.pop("_baking_since", None)
    elif deployment.setdefault("_baking_since", time.time()) + _bake_time(service, alarms) <= time.time():
        reason = "ECS deployment completed."
        deployment |= {"rolloutState": "COMPLETED", "rolloutStateReason": reason, "updatedAt": ecs._iso()}
        tell(service, f"(deployment {deployment['id']}) deployment completed.")
        words = f"ECS deployment {deployment['id']} completed."
        event_bridge.tell_deployment(service, deployment, "SERVICE_DEPLOYMENT_COMPLETED", words)
        ecs._refresh_service_state(cluster, f"service:{service['serviceName']}")


def _tell_begin(service: Record, deployment: Record) -> None:
    if not deployment.get("_has_begun"):
        deployment["_has_begun"] = True
        words = f"ECS deployment {deployment['id']} in progress."
        event_bridge.tell_deployment(service, deployment, "SERVICE_DEPLOYMENT_IN_PROGRESS", words)


def _alarms(service: Record, deployment: Record) -> list[Record]:
    """Return the alarms that can end a deployment: none when one of them was in ALARM at its start (rule E7)."""
    configured = _configuration(service).get("alarms") or {}
    if "_alarms" not in deployment:
        names = configured.get("alarmNames", []) if configured.get("enable") else []
        known = [name for name in names if name in cloudwatch._alarms]
        rings = any(cloudwatch._alarms[name]["StateValue"] == "ALARM" for name in known)
        deployment["_alarms"] = [] if rings else known
    return [alarm for name in deployment["_alarms"] if (alarm := cloudwatch._alarms.get(name))]


def _bake_time(service: Record, alarms: list[Record]) -> float:
    """Return the bake time in real seconds; a rolling deployment without alarms has none."""
    if not alarms:
        return 0.0
    windows = [float(item["Period"] or 0) * int(item["EvaluationPeriods"] or 1) for item in alarms]
    return clock.seconds(circuit_breaker.bake_seconds(_configuration(service).get("bakeTimeInMinutes"), windows))

"""From recorded evidence, in the words that AWS's documentation and its users have, to the first cause."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from spotfleet.stacks.causes import first_cause, machine_words, stack_words, task_words
from spotfleet.stacks.causes.first_cause import Explanation
from spotfleet.stacks.causes.words import Words, recognised
from spotfleet.stacks.evidence import (
    GROUP_TYPE,
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

START = datetime(2026, 11, 27, 1, 0, tzinfo=UTC)
DEFINITION = Definition("registry/web:1", 256, 256, 5000, "X86_64", "/healthcheck", "Web")
BREAKER = "Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'."


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def stack(name: str, status: str, *events: StackEvent) -> StackFacts:
    first = StackEvent(START, name, STACK_TYPE, "CREATE_IN_PROGRESS")
    return StackFacts(f"dev/{name}", f"spotfleet-dev-{name}", status, [first, *events], "launch again")


def failed(kind: str, reason: str, resource: str = "It", status: str = "CREATE_FAILED") -> Evidence:
    """Return the evidence of a stack in which one resource has failed."""
    event = StackEvent(at(5), resource, kind, status, reason, "id")
    return Evidence("dev", [stack("vpc", "ROLLBACK_COMPLETE", event)])


def failed_service(
    *stopped: StoppedTask, events: Sequence[Told] = (), groups: Sequence[GroupFacts] = (), **service: object
) -> Evidence:
    """Return the evidence of a service that the circuit breaker has ended."""
    event = StackEvent(at(9), "Service", SERVICE_TYPE, "CREATE_FAILED", BREAKER, "arn")
    facts = ServiceFacts("dev/service", "web", 2, events=events, stopped=stopped, definition=DEFINITION)
    return Evidence(
        "dev",
        [stack("service", "ROLLBACK_COMPLETE", event)],
        [replace(facts, **service)],  # type: ignore[arg-type]  # what the test gives
        groups,
        machines=[Machine("i-1", 2048, 900)],
        aws_options=" --region eu-west-1",
    )


def task(
    reason: str,
    *containers: Container,
    minutes: float = 3,
    code: str = "TaskFailedToStart",
    log: list[str] | None = None,
) -> StoppedTask:
    return StoppedTask("abc", at(minutes), code, reason, containers, log)


def exited(code: int, *log: str, reason: str = "") -> StoppedTask:
    container = Container("web", code, reason)
    return task("Essential container in task exited", container, code="EssentialContainerExited", log=list(log))


def group(*activities: Activity, **facts: object) -> GroupFacts:
    known = GroupFacts("dev/machines", "group", 2, 1, 4, ["t3.micro"], activities)
    return replace(known, **facts)  # type: ignore[arg-type]  # what the test gives


def launch(message: str, status: str = "Failed", minutes: float = 2) -> Activity:
    return Activity(at(minutes), status, "Launching a new EC2 instance", message)


def kind_of(evidence: Evidence) -> str | None:
    found = first_cause.explain(evidence).cause
    return found.kind if found else None


HANDLER = 'Resource handler returned message: "{}" (RequestToken: 5f2495db, HandlerErrorCode: {})'
NOT_ALLOWED = (
    "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: ec2:CreateVpc on resource: "
    "arn:aws:ec2:eu-west-1:123456789012:vpc/* because no identity-based policy allows the ec2:CreateVpc action"
)


@pytest.mark.parametrize(
    ("reason", "kind", "words"),
    [
        (
            HANDLER.format(
                "The maximum number of addresses has been reached. (Service: Ec2, Status Code: 400, Request ID: 6b8)",
                "GeneralServiceException",
            ),
            "quota",
            ["Elastic IP addresses", "L-0263D0A3"],
        ),
        (
            HANDLER.format("The maximum number of VPCs has been reached. (Service: Ec2)", "GeneralServiceException"),
            "quota",
            ["VPCs", "L-F678F1CE"],
        ),
        (
            HANDLER.format("Error reason: WAFLimitsExceededException: you exceeded your resource limit", "X"),
            "quota",
            ["WAF"],
        ),
        (HANDLER.format(NOT_ALLOWED, "AccessDenied"), "permission_denied", ["ec2:CreateVpc"]),
        (
            "You are not authorized to perform this operation. (Service: Ec2; Status Code: 403; Error Code: "
            "UnauthorizedOperation)",
            "permission_denied",
            ["CloudTrail"],
        ),
        (HANDLER.format("Rate exceeded (Service: Iam, Status Code: 400)", "Throttling"), "throttled", ["launch again"]),
        ("Request limit exceeded. (Error Code: RequestLimitExceeded)", "throttled", ["launch again"]),
        (
            HANDLER.format("Resource of type 'AWS::ECR::Repository' already exists.", "AlreadyExists"),
            "name_taken",
            ["project_code"],
        ),
        (
            HANDLER.format("Priority '100' is currently in use (Service: ElasticLoadBalancingV2)", "AlreadyExists"),
            "priority_taken",
            ["priority 100", "listener_priority"],
        ),
        (
            HANDLER.format("No hosted zone found with ID: Z0123 (Service: Route53, Status Code: 404)", "NotFound"),
            "hosted_zone_missing",
            ["hosted_zone_id"],
        ),
        (
            "[Tried to create resource record set [name='app.example.com.', type='A'] but it already exists]",
            "record_taken",
            ["app.example.com."],
        ),
        (
            HANDLER.format("Unable to assume the service linked role. Please verify that it exists.", "InvalidRequest"),
            "service_linked_role",
            ["aws iam create-service-linked-role"],
        ),
        (
            HANDLER.format(
                "The image id '[ami-0abc]' does not exist (Service: AutoScaling)", "GeneralServiceException"
            ),
            "image_gone",
            ["ami-0abc", "NEWEST_MACHINE_IMAGE=dev"],
        ),
        ("The security token included in the request is expired", "expired_credentials", ["aws sso login"]),
        ("Resource timed out waiting for completion (RequestToken: 1)", "timeout", ["It of dev/vpc"]),
        ("Something that nobody has ever seen", "stack_failed", ["Something that nobody has ever seen"]),
    ],
)
def test_a_resource_that_fails_says_why_itself(reason: str, kind: str, words: list[str]) -> None:
    found = first_cause.explain(failed("AWS::EC2::Thing", reason))
    assert found.cause
    assert found.failed
    assert found.cause.kind == kind
    for word in words:
        assert word in found.cause.sentence + found.cause.way_out


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("The bucket you tried to delete is not empty (Service: S3, Status Code: 409)", "bucket_not_empty"),
        (
            "The repository with name 'x' in registry with id '1' cannot be deleted because it still contains images",
            "repository_not_empty",
        ),
        ("The specified capacity provider is in use and cannot be removed.", "provider_in_use"),
        ("resource sg-0abc has a dependent object (Service: Ec2, Status Code: 400)", "in_use"),
        (
            "Load balancer 'arn:aws:x' cannot be deleted because deletion protection is enabled",
            "deletion_protection",
        ),
    ],
)
def test_a_deletion_that_fails_says_what_holds_it(reason: str, kind: str) -> None:
    assert kind_of(failed("AWS::X::Y", reason, status="DELETE_FAILED")) == kind


@pytest.mark.parametrize(
    ("stopped", "kind", "words"),
    [
        (
            task(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "
                "registry/web:1: registry/web:1: not found"
            ),
            "image_missing",
            ["registry/web:1"],
        ),
        (
            task("CannotPullContainerError: no matching manifest for linux/arm64/v8 in the manifest list entries"),
            "image_architecture",
            ["linux/arm64/v8", "cpu_architecture"],
        ),
        (exited(1, "exec /usr/bin/python3: exec format error"), "setting_lacks", ["cpu_architecture"]),
        (
            task(
                "CannotPullContainerError: Error response from daemon: pull access denied for x, repository does not "
                "exist or may require authorization"
            ),
            "registry_denied",
            ["ecr:BatchGetImage"],
        ),
        (
            task(
                "CannotPullContainerError: Error response from daemon: Get "
                "https://1.dkr.ecr.eu-west-1.amazonaws.com/v2/: net/http: request canceled while waiting "
                "for connection (Client.Timeout exceeded)"
            ),
            "registry_unreachable",
            ["egress"],
        ),
        (
            exited(137, reason="OutOfMemoryError: Container killed due to memory usage"),
            "out_of_memory",
            ["256 MiB", "task_memory_mib"],
        ),
        (
            task(
                "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
                "failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch "
                "secret arn:aws:secretsmanager:eu-west-1:1:secret:x from secrets manager: ResourceNotFoundException: "
                "Secrets Manager can't find the specified secret."
            ),
            "secret_missing",
            ["secrets"],
        ),
        (
            task(
                "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
                "failed: unable to retrieve secrets from ssm: service call has been retried 1 time(s): "
                "AccessDeniedException: User: arn:aws:sts::1:assumed-role/x is not authorized to perform: "
                "ssm:GetParameters on resource: y"
            ),
            "secret_denied",
            ["secret_key_arns"],
        ),
        (
            task(
                "CannotStartContainerError: Error response from daemon: OCI runtime create failed: runc create failed: "
                'unable to start container process: exec: "gunicorn": executable file not found in $PATH'
            ),
            "command_missing",
            ["gunicorn", "command or entry_point of service"],
        ),
        (
            task(
                "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to "
                "create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist."
            ),
            "log_group_missing",
            ["log group"],
        ),
        (
            task("CannotPullContainerError: write /var/lib/docker/x: no space left on device"),
            "disk_full",
            ["root_volume_gib"],
        ),
        (
            exited(1, "OSError: [Errno 30] Read-only file system: '/app/cache'"),
            "setting_lacks",
            ["read-only", "read_only to false"],
        ),
        (
            exited(1, "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)"),
            "setting_lacks",
            ["port 80", "above 1023"],
        ),
        (
            exited(1, "ping: socket: Operation not permitted"),
            "privilege_missing",
            ["user and capabilities", "docs/bring-your-own-container.md"],
        ),
        (
            exited(3, "Starting", "KeyError: 'DATABASE_URL'"),
            "setting_lacks",
            ["DATABASE_URL", "environment_variables"],
        ),
        (
            exited(3, "Starting", "the moon is not full"),
            "container_exited",
            ["exit code 3", "the moon is not full", "`aws logs tail Web --since 1h --region eu-west-1`"],
        ),
    ],
)
def test_a_task_that_stopped_is_before_the_circuit_breaker(stopped: StoppedTask, kind: str, words: list[str]) -> None:
    found = first_cause.explain(failed_service(stopped))
    assert found.cause
    assert found.cause.kind == kind
    for word in words:
        assert word in found.cause.sentence + found.cause.way_out
    assert BREAKER in found.way[-2]
    assert found.way[-1] == "dev/service is ROLLBACK_COMPLETE"


def test_the_first_of_several_tasks_counts() -> None:
    later = replace(exited(1, "cannot reach the database"), time=at(6))
    out_of_memory = exited(137, reason="OutOfMemoryError: Container killed due to memory usage")
    assert kind_of(failed_service(later, out_of_memory)) == "out_of_memory"


def test_a_log_that_went_with_its_stack_is_said_to_be_gone() -> None:
    without = replace(exited(1), log=None)
    found = first_cause.explain(failed_service(without)).cause
    assert found
    assert "its log is gone" in found.way_out
    assert "watch the log group of dev/service in CloudWatch during the next launch" in found.way_out


@pytest.mark.parametrize(
    ("environment", "command"),
    [("dev", "`spotfleet logs service`"), ("prod", "`spotfleet logs service -e prod`")],
)
def test_the_log_of_the_embedded_aws_has_its_own_command(environment: str, command: str) -> None:
    evidence = failed_service(exited(3, "the moon is not full"))
    found = first_cause.explain(replace(evidence, environment=environment, is_embedded=True)).cause
    assert found
    assert command in found.way_out


@pytest.mark.parametrize(
    ("is_embedded", "command"), [(True, "`spotfleet why dev`"), (False, "`spotfleet why dev --aws`")]
)
def test_the_command_that_explains_asks_where_the_environment_is(is_embedded: bool, command: str) -> None:
    found = first_cause.explain(replace(failed_service(), is_embedded=is_embedded)).cause
    assert found
    assert command in found.way_out


def test_what_a_container_printed_is_shown_without_passwords_and_control_characters() -> None:
    line = "\x1b[31mcannot reach postgres://web:hunter2@db/web, password=hunter2\x1b[0m"
    found = first_cause.explain(failed_service(exited(1, line))).cause
    assert found
    told = " ".join([found.sentence, found.way_out, *found.log])
    assert "cannot reach postgres://" in told
    assert "hunter2" not in told
    assert told.isprintable()


def test_a_setting_that_lacks_is_told_without_control_characters() -> None:
    found = first_cause.explain(failed_service(exited(1, "Read-only file system: '/app/\x1b[2Jcache/a'"))).cause
    assert found
    assert found.kind == "setting_lacks"
    assert found.sentence.isprintable()


def test_what_the_scheduler_stops_because_it_wants_fewer_is_no_cause() -> None:
    scaled = task("Scaling activity initiated by (deployment ecs-svc/1)", Container("web", 143))
    assert kind_of(failed_service(replace(scaled, stop_code="ServiceSchedulerInitiated"))) == "circuit_breaker"


@pytest.mark.parametrize("code", ["SpotInterruption", "TerminationNotice", "UserInitiated"])
def test_what_spot_or_a_person_has_ended_is_not_told_as_memory_that_was_short(code: str) -> None:
    lost = replace(exited(137), stop_code=code, reason="Host EC2 (instance i-1) terminated.")
    assert kind_of(failed_service(lost)) == "circuit_breaker"


UNHEALTHY = "(service web) (instance i-1) (port 32768) is unhealthy in (target-group arn) due to (reason {})."


@pytest.mark.parametrize(
    ("reason", "kind", "words"),
    [
        (
            "Health checks failed with these codes: [404]",
            "health_check_path",
            ["404", "/healthcheck", "set health_check_path"],
        ),
        (
            "Health checks failed with these codes: [500]",
            "health_check_code",
            ["500", "health_check_codes", "aws logs tail Web"],
        ),
        ("Request timed out", "health_check_timeout", ["in time", "health_check_timeout_seconds"]),
        ("Health checks failed", "wrong_port", ["port 5000", "0.0.0.0:5000"]),
    ],
)
def test_failed_health_checks_say_what_they_got(reason: str, kind: str, words: list[str]) -> None:
    stopped = task("Task failed ELB health checks in (target-group arn)", code="ServiceSchedulerInitiated")
    evidence = failed_service(stopped, events=[Told(at(2.9), UNHEALTHY.format(reason))])
    found = first_cause.explain(evidence).cause
    assert found
    assert found.kind == kind
    for word in words:
        assert word in found.sentence + found.way_out


def test_what_checks_get_says_more_than_that_a_task_that_starts_does_not_answer_yet() -> None:
    stopped = task("Task failed ELB health checks in (target-group arn)", code="ServiceSchedulerInitiated")
    reasons = ["Health checks failed", "Request timed out", "Health checks failed"]
    events = [Told(at(number), UNHEALTHY.format(reason)) for number, reason in enumerate(reasons, 1)]
    assert kind_of(failed_service(stopped, events=events)) == "health_check_timeout"


def test_failed_health_checks_of_which_nothing_is_told_are_named_all_the_same() -> None:
    stopped = task("Task failed container health checks", code="ServiceSchedulerInitiated")
    assert kind_of(failed_service(stopped)) == "health_check_failed"


PLACE = "(service web) was unable to place a task because no container instance met all of its requirements. "


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (PLACE + "Reason: No Container Instances were found in your cluster.", "no_machines"),
        (PLACE + "The closest matching (container-instance 1) has insufficient memory available.", "no_room_memory"),
        (PLACE + "The closest matching (container-instance 1) has insufficient CPU units available.", "no_room_cpu"),
        (
            PLACE + "The closest matching container-instance is already using a port required by your task.",
            "no_room_ports",
        ),
        (PLACE + 'The closest matching (container-instance 1) encountered error "AGENT".', "agent_disconnected"),
        (
            "(service web) was unable to stop or start tasks during a deployment because of the service deployment "
            "configuration. Update the minimumHealthyPercent or maximumPercent value and try again.",
            "deployment_bounds",
        ),
    ],
)
def test_a_task_that_no_machine_takes(text: str, kind: str) -> None:
    assert kind_of(failed_service(events=[Told(at(2), text)])) == kind


def test_the_sizes_of_the_machines_are_said_where_there_is_no_room() -> None:
    evidence = failed_service(events=[Told(at(2), PLACE + "has insufficient memory available.")])
    found = first_cause.explain(evidence).cause
    assert found
    assert "1 joined, of 2048 units and 900 MiB for all their tasks" in found.sentence


def test_waiting_for_a_machine_that_came_is_no_cause() -> None:
    events = [
        Told(at(1), PLACE + "No Container Instances were found."),
        Told(at(2), "(service web) has started 1 tasks"),
    ]
    assert kind_of(failed_service(exited(1, "no database"), events=events)) == "container_exited"


SPOT = "There is no Spot capacity available that matches your request. Launching EC2 instance failed."


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        (SPOT, "no_spot_capacity", ["t3.micro", "instance_types"]),
        (
            "Could not launch Spot Instances. MaxSpotInstanceCountExceeded - Max spot instance count exceeded. "
            "Launching EC2 instance failed.",
            "quota",
            ["L-34B43A08"],
        ),
        (
            "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket "
            "that the specified instance type belongs to. Launching EC2 instance failed.",
            "quota",
            ["L-1216C47A"],
        ),
        (
            "We currently do not have sufficient t3.micro capacity in the Availability Zone you requested "
            "(eu-west-1a). Launching EC2 instance failed.",
            "no_capacity",
            ["on-demand"],
        ),
        (
            "Your requested instance type (t3.micro) is not supported in your requested Availability Zone "
            "(eu-west-1a). Launching EC2 instance failed.",
            "type_not_in_zone",
            ["t3.micro"],
        ),
        (
            "Instance became unhealthy while waiting. Client.InternalError: Client error on launch",
            "volume_key",
            ["KMS"],
        ),
        (
            "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token 1 was abandoned: "
            "Heartbeat Timeout",
            "never_joined",
            ["egress"],
        ),
        ("A new reason of AWS's.", "machine_not_launched", ["A new reason of AWS's"]),
    ],
)
def test_a_machine_that_does_not_come_is_before_the_room_that_tasks_lack(
    message: str, kind: str, words: list[str]
) -> None:
    waits = Told(at(3), PLACE + "The closest matching container-instance has insufficient memory available.")
    found = first_cause.explain(failed_service(events=[waits], groups=[group(launch(message))])).cause
    assert found
    assert found.kind == kind
    for word in words:
        assert word in found.sentence + found.way_out


def test_no_spot_capacity_explains_nothing_where_a_container_was_killed() -> None:
    killed = exited(137, reason="OutOfMemoryError: Container killed due to memory usage")
    assert kind_of(failed_service(killed, groups=[group(launch(SPOT))])) == "out_of_memory"


def test_a_launch_that_failed_before_one_that_went_well_explains_nothing() -> None:
    waits = Told(at(3), PLACE + "has insufficient memory available.")
    came = launch("", "Successful", minutes=2.5)
    assert kind_of(failed_service(events=[waits], groups=[group(launch(SPOT), came)])) == "no_room_memory"


def test_a_group_at_its_maximum_is_why_there_is_no_room() -> None:
    stopped = task("Timed out while waiting for a container instance with room for the task")
    full = group(launch("", "Successful"), in_service=4)
    found = first_cause.explain(failed_service(stopped, groups=[full])).cause
    assert found
    assert (found.kind, "max_machines" in found.way_out) == ("max_machines", True)


def test_a_refresh_that_was_taken_back_is_why_a_group_failed() -> None:
    event = StackEvent(at(9), "Group", GROUP_TYPE, "UPDATE_FAILED", "Instance refresh failed", "group")
    refresh = Activity(at(7), "RollbackSuccessful", "refresh", "The alarm TargetErrors went into ALARM state.")
    evidence = Evidence(
        "dev", [stack("machines", "UPDATE_ROLLBACK_COMPLETE", event)], groups=[group(refreshes=[refresh])]
    )
    found = first_cause.explain(evidence).cause
    assert found
    assert found.kind == "refresh_rolled_back"
    assert "TargetErrors" in found.sentence


@pytest.mark.parametrize(
    ("certificate", "kind", "word"),
    [
        (
            Certificate("app.example.com", "PENDING_VALIDATION", record="_x.app.example.com. CNAME _y.acm.aws."),
            "certificate_not_validated",
            "_x.app.example.com. CNAME _y.acm.aws.",
        ),
        (Certificate("app.example.com", "FAILED", "CAA_ERROR"), "certificate_failed", "CAA"),
    ],
)
def test_a_certificate_that_does_not_come(certificate: Certificate, kind: str, word: str) -> None:
    reason = "Resource timed out waiting for completion"
    event = StackEvent(at(9), "Certificate", "AWS::CertificateManager::Certificate", "CREATE_FAILED", reason, "arn")
    evidence = Evidence("dev", [stack("load-balancer", "ROLLBACK_COMPLETE", event)], certificates=[certificate])
    found = first_cause.explain(evidence).cause
    assert found
    assert found.kind == kind
    assert word in found.way_out


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (
            "ECS deployment circuit breaker was triggered. Last task stopped: ResourceInitializationError: unable to "
            "pull secrets or registry auth: unable to retrieve secrets from ssm: AccessDeniedException: no",
            "secret_denied",
        ),
        ("User: arn:aws:iam::1:user/ci is not authorized to perform: ecs:CreateService", "permission_denied"),
        ("Unable to assume the service linked role.", "service_linked_role"),
    ],
)
def test_what_a_service_quotes_is_before_what_it_is_refused(reason: str, kind: str) -> None:
    event = StackEvent(at(9), "Service", SERVICE_TYPE, "CREATE_FAILED", reason)
    full = group(launch("", "Successful"), in_service=4)
    assert kind_of(Evidence("dev", [stack("service", "ROLLBACK_COMPLETE", event)], groups=[full])) == kind


def test_an_alarm_that_ended_a_deployment_is_named() -> None:
    event = StackEvent(
        at(9), "Service", SERVICE_TYPE, "UPDATE_FAILED", "ECS deployment failed: alarm detected: TargetErrors.", "arn"
    )
    found = first_cause.explain(Evidence("dev", [stack("service", "UPDATE_ROLLBACK_COMPLETE", event)])).cause
    assert found
    assert found.kind == "alarm_rollback"
    assert "TargetErrors" in found.sentence


def test_what_another_failure_cancelled_is_no_cause() -> None:
    cancelled = StackEvent(at(1), "A", "AWS::EC2::Subnet", "CREATE_FAILED", "Resource creation cancelled")
    real = StackEvent(at(2), "B", "AWS::EC2::VPC", "CREATE_FAILED", "The maximum number of VPCs has been reached.")
    assert kind_of(Evidence("dev", [stack("vpc", "ROLLBACK_COMPLETE", cancelled, real)])) == "quota"


def test_the_stack_that_failed_first_counts() -> None:
    later = StackEvent(at(8), "Role", "AWS::IAM::Role", "CREATE_FAILED", "Rate exceeded")
    first = StackEvent(at(2), "Vpc", "AWS::EC2::VPC", "CREATE_FAILED", "The maximum number of VPCs has been reached.")
    stacks = [stack("machines", "ROLLBACK_COMPLETE", later), stack("vpc", "ROLLBACK_COMPLETE", first)]
    assert kind_of(Evidence("dev", stacks)) == "quota"


def test_a_service_whose_stack_ran_out_of_time_is_looked_into() -> None:
    begun = StackEvent(at(1), "Service", SERVICE_TYPE, "CREATE_IN_PROGRESS", "Resource creation Initiated", "arn")
    end = StackEvent(
        at(60), "service", STACK_TYPE, "ROLLBACK_IN_PROGRESS", "Stack creation time exceeded the specified timeout"
    )
    facts = ServiceFacts("dev/service", "web", 2, stopped=[exited(1, "no database")], definition=DEFINITION)
    evidence = Evidence("dev", [stack("service", "ROLLBACK_COMPLETE", begun, end)], [facts])
    assert kind_of(evidence) == "container_exited"


def living(**service: object) -> Evidence:
    facts = ServiceFacts(
        "dev/service", "web", 2, 2, targets=[Target("healthy"), Target("healthy")], definition=DEFINITION
    )
    found = replace(facts, **service)  # type: ignore[arg-type]  # what the test gives
    return Evidence("dev", [stack("vpc", "CREATE_COMPLETE"), stack("service", "CREATE_COMPLETE")], [found])


def test_where_nothing_is_wrong_that_is_said() -> None:
    found = first_cause.explain(living())
    assert not found.failed
    assert found.cause is None
    assert found.healthy == "every stack is complete, 2 of 2 tasks of service run"


def test_a_task_that_ended_an_hour_ago_and_was_replaced_is_nothing_wrong() -> None:
    assert kind_of(living(stopped=[exited(1, "once")])) is None


def test_what_is_wrong_without_a_failed_launch_is_found_as_well() -> None:
    ill = Target("unhealthy", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]")
    found = first_cause.explain(living(targets=[Target("healthy"), ill]))
    assert not found.failed
    assert found.cause
    assert (found.cause.kind, "503" in found.cause.sentence) == ("health_check_code", True)


def test_stacks_that_are_not_there_and_stacks_under_way_are_said() -> None:
    absent = StackFacts("dev/vpc", "spotfleet-dev-vpc", "ABSENT")
    assert "sceptre launch dev" in first_cause.explain(Evidence("dev", [absent])).healthy
    under_way = stack("service", "CREATE_IN_PROGRESS")
    assert "dev/service is under way" in first_cause.explain(Evidence("dev", [under_way])).healthy


def test_what_could_not_be_read_is_told() -> None:
    found: Explanation = first_cause.explain(replace(living(), unread=["logs:GetLogEvents"]))
    assert found.as_json()["unread"] == ["logs:GetLogEvents"]


TABLES = (
    *stack_words.STACK_WORDS,
    *stack_words.OUTCOME_WORDS,
    *task_words.REASON_WORDS,
    *task_words.LOG_WORDS,
    *task_words.HEALTH_WORDS,
    *task_words.PLACEMENT_WORDS,
    *machine_words.MACHINE_WORDS,
    *machine_words.REFRESH_WORDS,
)


@pytest.mark.parametrize("words", TABLES, ids=lambda one: one.kind)
def test_every_kind_has_a_sentence_a_way_out_and_a_source(words: Words) -> None:
    assert re.fullmatch(r"https://\S+", words.source)
    assert words.way_out
    assert not words.sentence.endswith(".")
    assert not words.way_out.endswith(".")


@pytest.mark.parametrize(
    ("text", "image"),
    [
        (
            "CannotPullContainerError: failed to resolve ref 127.0.0.1:31079/mistyped:1: not found",
            "127.0.0.1:31079/mistyped:1",
        ),
        ("CannotPullContainerError: pull image manifest has been retried: manifest unknown", "now:1"),
    ],
)
def test_the_image_that_is_missing_is_the_one_that_was_asked_for(text: str, image: str) -> None:
    """After a rollback the service's task definition names another one."""
    cause = recognised(text, task_words.REASON_WORDS, layer="service", image="now:1")
    assert cause
    assert (cause.kind, f", {image}, " in cause.sentence) == ("image_missing", True)

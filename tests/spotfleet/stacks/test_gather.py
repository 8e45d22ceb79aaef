"""What is asked of AWS to explain a failure: which calls, how many, and what happens when one is refused."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from spotfleet.stacks import account, gather
from spotfleet.stacks.causes import first_cause
from spotfleet.stacks.evidence import SERVICE_TYPE
from tests.support import answers
from tests.support.stacks import Answer, Aws, client_error, make_stack

START = datetime(2026, 11, 27, 1, 0, tzinfo=UTC)
SERVICE = "arn:aws:ecs:eu-west-1:123456789012:service/cluster/web"
DEFINITION = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web-Tasks-1:3"
CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/1"
TASK = "arn:aws:ecs:eu-west-1:123456789012:task/cluster/abc"
STACK_ID = "arn:aws:cloudformation:eu-west-1:123456789012:stack/spotfleet-dev-service/1"


def event(logical_id: str, kind: str, status: str, physical_id: str, minutes: int, reason: str = "") -> dict[str, Any]:
    return {
        **{"StackId": STACK_ID, "StackName": "spotfleet-dev-service", "EventId": "1"},
        **{"LogicalResourceId": logical_id, "ResourceType": kind, "ResourceStatus": status},
        **{"PhysicalResourceId": physical_id, "Timestamp": START + timedelta(minutes=minutes)},
        "ResourceStatusReason": reason,
    }


# The newest first. The stack was rolled back, so that only its events know the service.
EVENTS = [
    event("stack", "AWS::CloudFormation::Stack", "ROLLBACK_COMPLETE", STACK_ID, 9),
    event("Service", SERVICE_TYPE, "DELETE_COMPLETE", SERVICE, 8),
    event("Service", SERVICE_TYPE, "CREATE_FAILED", SERVICE, 7, "ECS Deployment Circuit Breaker was triggered."),
    event("Service", SERVICE_TYPE, "CREATE_IN_PROGRESS", SERVICE, 2, "Resource creation Initiated"),
    event("Tasks", "AWS::ECS::TaskDefinition", "CREATE_COMPLETE", DEFINITION, 1),
    event("Certificate", gather.CERTIFICATE_TYPE, "CREATE_COMPLETE", CERTIFICATE, 1),
    event("Group", "AWS::AutoScaling::AutoScalingGroup", "CREATE_COMPLETE", "group", 1),
    event("stack", "AWS::CloudFormation::Stack", "CREATE_IN_PROGRESS", STACK_ID, 0, "User Initiated"),
    event("stack", "AWS::CloudFormation::Stack", "DELETE_COMPLETE", STACK_ID, -9, "of an earlier launch"),
]
STOPPED = {
    **{"taskArn": TASK, "taskDefinitionArn": DEFINITION, "stopCode": "EssentialContainerExited"},
    **{"stoppedAt": START + timedelta(minutes=5), "stoppedReason": "Essential container in task exited"},
    "containers": [
        {"name": "web", "exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage"}
    ],
}
OLD = STOPPED | {"taskArn": f"{TASK}-old", "stoppedAt": START - timedelta(minutes=5)}
BALANCER = {"targetGroupArn": "arn", "containerName": "web", "containerPort": 5000}
LOGGED = {"logDriver": "awslogs", "options": {"awslogs-group": "Web", "awslogs-stream-prefix": "ecs"}}


def answering() -> dict[str, Answer]:
    """Return what AWS answers of a service that was killed for want of memory."""
    definition = {"containerDefinitions": [{"name": "web", "memory": 256, "logConfiguration": LOGGED}]}
    return {
        "cloudformation.describe_stacks": lambda _: {"Stacks": [answers.stack("ROLLBACK_COMPLETE")]},
        "cloudformation.describe_stack_events": lambda _: {"StackEvents": EVENTS},
        "cloudformation.describe_stack_resources": lambda _: {"StackResources": []},
        "ecs.describe_services": lambda _: {"services": [{"serviceName": "web", "loadBalancers": [BALANCER]}]},
        "elbv2.describe_target_groups": lambda _: {"TargetGroups": [{"HealthCheckPath": "/health"}]},
        "elbv2.describe_target_health": lambda _: {"TargetHealthDescriptions": []},
        "ecs.describe_task_definition": lambda _: {"taskDefinition": definition},
        "ecs.list_tasks": lambda _: {"taskArns": [TASK, f"{TASK}-old"]},
        "ecs.describe_tasks": lambda _: {"tasks": [OLD, STOPPED]},
        "ecs.list_container_instances": lambda _: {"containerInstanceArns": []},
        "logs.get_log_events": lambda _: {"events": [{"message": "Loading"}, {"message": "the model"}]},
        "acm.describe_certificate": lambda _: {
            "Certificate": {"DomainName": "app.example.com", "Status": "PENDING_VALIDATION"}
        },
        "autoscaling.describe_auto_scaling_groups": lambda _: {"AutoScalingGroups": [answers.group()]},
        "autoscaling.describe_scaling_activities": lambda _: {
            "Activities": [answers.activity(START, Description="Launching", StatusMessage="no capacity")]
        },
        "autoscaling.describe_instance_refreshes": lambda _: {"InstanceRefreshes": []},
    }


def test_a_stack_that_was_rolled_back_is_known_by_its_events() -> None:
    evidence = gather.gather([make_stack("dev/service", Aws(answering()))])
    (service,) = evidence.services
    assert evidence.stacks[0].events[0].status == "CREATE_IN_PROGRESS"
    # Not that of an operation before this one.
    assert [one.id for one in service.stopped] == ["abc"]
    assert service.stopped[0].log == ["Loading", "the model"]
    assert service.definition.memory_mib == 256
    assert [one.message for one in evidence.groups[0].activities] == ["no capacity"]
    assert evidence.certificates[0].status == "PENDING_VALIDATION"
    found = first_cause.explain(evidence).cause
    assert found
    assert found.kind == "out_of_memory"


def test_a_task_that_still_stops_is_none_that_has_ended() -> None:
    stopping = {name: value for name, value in STOPPED.items() if name != "stoppedAt"} | {"taskArn": f"{TASK}-stopping"}
    changed = answering() | {
        "ecs.describe_tasks": lambda _: {"tasks": [stopping, STOPPED]},
        # Not even since when is known.
        "cloudformation.describe_stack_events": lambda _: {"StackEvents": []},
        "cloudformation.describe_stack_resources": lambda _: {
            "StackResources": [answers.resource(SERVICE_TYPE, SERVICE), answers.resource(gather.TASK_TYPE, DEFINITION)]
        },
    }
    (service,) = gather.gather([make_stack("dev/service", Aws(changed))]).services
    assert [one.id for one in service.stopped] == ["abc"]


def test_where_the_environment_is_and_where_it_logs_is_known() -> None:
    evidence = gather.gather([make_stack("dev/service", Aws(answering()))])
    assert (evidence.is_embedded, evidence.aws_options) == (False, " --region eu-west-1")
    assert evidence.services[0].definition.log_group == "Web"
    embedded = Aws(answering() | {"sts.get_caller_identity": lambda _: {"Account": account.EMBEDDED}})
    here = make_stack("dev/service", embedded, endpoint="http://127.0.0.1:4566")
    assert gather.gather([here]).is_embedded


def test_the_number_of_calls_is_bounded() -> None:
    aws = Aws(answering())
    aws.answers["ecs.describe_tasks"] = lambda _: {
        "tasks": [STOPPED | {"taskArn": f"{TASK}{number}"} for number in range(100)]
    }
    aws.answers["cloudformation.describe_stack_events"] = lambda _: {
        "StackEvents": EVENTS[1:7] * 16,
        "NextToken": "there is always more",
    }
    gather.gather([make_stack("dev/service", aws)])
    calls = Counter(name for name, _asked in aws.calls)
    assert calls["cloudformation.describe_stack_events"] == gather.MOST_EVENT_PAGES
    assert calls["logs.get_log_events"] == gather.FIRST_LOGS + 1
    assert sum(calls.values()) < 30


def test_it_changes_nothing() -> None:
    aws = Aws(answering())
    gather.gather([make_stack("dev/service", aws)])
    verbs = {name.partition(".")[2].partition("_")[0] for name, _asked in aws.calls}
    assert verbs == {"describe", "list", "get"}


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        ("logs.get_log_events", "logs:GetLogEvents"),
        ("ecs.describe_services", "ecs:DescribeServices"),
        ("autoscaling.describe_scaling_activities", "autoscaling:DescribeScalingActivities"),
        ("elbv2.describe_target_health", "elasticloadbalancing:DescribeTargetHealth"),
        ("acm.describe_certificate", "acm:DescribeCertificate"),
    ],
)
def test_a_source_that_is_refused_is_told_and_the_rest_is_used(operation: str, told: str) -> None:
    def denied(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error("AccessDeniedException")

    evidence = gather.gather([make_stack("dev/service", Aws(answering() | {operation: denied}))])
    assert evidence.unread == [told]
    found = first_cause.explain(evidence).cause
    assert found
    assert found.kind == "out_of_memory"


def test_without_cloudformation_there_is_no_answer() -> None:
    def expired(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error("ExpiredToken", "The security token included in the request is expired")

    with pytest.raises(ClientError, match="ExpiredToken") as caught:
        gather.gather([make_stack("dev/service", Aws(answering() | {"cloudformation.describe_stacks": expired}))])
    found = first_cause.refused_at_all(str(caught.value), "dev")
    assert found
    assert found.kind == "expired_credentials"


def test_an_environment_that_was_never_launched_has_no_events() -> None:
    def absent(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error("ValidationError", "Stack with id spotfleet-dev-service does not exist")

    aws = Aws({"cloudformation.describe_stacks": absent})
    found = first_cause.explain(gather.gather([make_stack("dev/service", aws)]))
    assert "sceptre launch dev" in found.healthy
    assert len(aws.calls) == 1

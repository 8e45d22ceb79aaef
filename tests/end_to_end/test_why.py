"""Services that fail, each in its way, on real containers: `spotfleet why` names the first cause of each."""

import json
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from sceptre.stack import Stack

from spotfleet.stacks import gather
from spotfleet.stacks.causes import first_cause
from spotfleet.stacks.causes.first_cause import Explanation
from tests.support.clouds import ref, template
from tests.support.projects import Project, launched

WAIT_SECONDS = 240
EVERY_SECOND: dict[str, Any] = {"WaiterConfig": {"Delay": 1, "MaxAttempts": WAIT_SECONDS}}
REGION = "eu-west-1"
# Answers every request with a status.
SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status})
        self.end_headers()
http.server.ThreadingHTTPServer(("", 5000), Handler).serve_forever()
"""
MISSING = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:none-AbCdEf"


def python(code: str) -> dict[str, Any]:
    return {"EntryPoint": ["python3", "-c", code]}


def serving(status: int) -> dict[str, Any]:
    return python(SERVER.format(status=status))


EATER = "import time; held = [bytearray(1 << 20) for _ in range(400)]; time.sleep(600)"
# By the kind of failure: what is different in the container, whether a load balancer checks it, what is to be said.
FAILURES: dict[str, tuple[dict[str, Any], bool, list[str]]] = {
    "container_exited": (python("import sys; print('no database'); sys.exit(3)"), False, ["code 3", "no database"]),
    "out_of_memory": (python(EATER), False, ["64 MiB", "task_memory_mib"]),
    "command_missing": ({"EntryPoint": ["no-such-command"]}, False, ["no-such-command", "entry_point"]),
    "secret_missing": ({"Secrets": [{"Name": "KEY", "ValueFrom": MISSING}]}, False, ["secret", "secrets"]),
    "image_missing": ({"Image": "127.0.0.1:{port}/mistyped:1"}, False, ["mistyped:1", "repository"]),
    "health_check_path": (serving(404), True, ["404", "/healthcheck"]),
    "health_check_code": (serving(500), True, ["500", "spotfleet logs"]),
    "wrong_port": (python("import time; time.sleep(600)"), True, ["port 5000"]),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose environment dev is up."""
    with launched(Project(tmp_path_factory.mktemp("project"))) as project:
        yield project


def outputs(project: Project) -> dict[str, str]:
    """Return what the layers of dev have given out."""
    stacks = project.client("cloudformation").describe_stacks()["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for stack in stacks for one in stack.get("Outputs", [])}


def service(project: Project, made: dict[str, str], kind: str, number: int) -> dict[str, Any]:
    """Return the resources of a service that fails."""
    different, is_checked, _words = FAILURES[kind]
    container = {
        **{"Name": "web", "Image": made["Image"], "Memory": 64, "Essential": True},
        "PortMappings": [{"ContainerPort": 5000, "HostPort": 0}],
        "LogConfiguration": {
            "LogDriver": "awslogs",
            "Options": {"awslogs-group": ref("Log"), "awslogs-region": REGION, "awslogs-stream-prefix": "ecs"},
        },
        **different,
    }
    container["Image"] = container["Image"].format(port=project.port)
    group = {"TargetGroupArn": ref("Targets"), "ContainerName": "web", "ContainerPort": 5000}
    checked = {
        "Targets": {
            "Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
            "Properties": {
                **{"VpcId": made["VpcId"], "Port": 5000, "Protocol": "HTTP", "HealthCheckPath": "/healthcheck"},
                **{"HealthCheckIntervalSeconds": 6, "HealthCheckTimeoutSeconds": 5, "UnhealthyThresholdCount": 2},
                "TargetGroupAttributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}],
            },
        },
        "Rule": {
            "Type": "AWS::ElasticLoadBalancingV2::ListenerRule",
            "Properties": {
                **{"ListenerArn": made["ListenerArn"], "Priority": 1000 + number},
                "Conditions": [{"Field": "path-pattern", "Values": [f"/{kind}"]}],
                "Actions": [{"Type": "forward", "TargetGroupArn": ref("Targets")}],
            },
        },
    }
    properties = {
        **{"Cluster": made["ClusterName"], "TaskDefinition": ref("Tasks"), "DesiredCount": 1},
        "CapacityProviderStrategy": [{"CapacityProvider": made["CapacityProviderName"], "Weight": 1}],
        "DeploymentConfiguration": {"DeploymentCircuitBreaker": {"Enable": True, "Rollback": True}},
        **({"LoadBalancers": [group], "HealthCheckGracePeriodSeconds": 0} if is_checked else {}),
    }
    definition = {"Cpu": "128", "ContainerDefinitions": [container]}
    depends = {"DependsOn": "Rule"} if is_checked else {}
    return {
        "Log": {"Type": "AWS::Logs::LogGroup"},
        "Tasks": {"Type": "AWS::ECS::TaskDefinition", "Properties": definition},
        "Service": {"Type": "AWS::ECS::Service", "Properties": properties, **depends},
        **(checked if is_checked else {}),
    }


def explained(project: Project, kind: str) -> Explanation:
    """Return what `spotfleet why` says of the stack of a service that fails."""
    clients: dict[str, Any] = {}

    def call(service: str, command: str, kwargs: dict[str, Any] | None = None) -> Any:  # noqa: ANN401  # boto3's
        if service not in clients:
            clients[service] = project.client(service)
        return getattr(clients[service], command)(**kwargs or {})

    name = kind.replace("_", "-")
    stack = Stack(f"dev/{name}", "x", REGION, external_name=name, template_handler_config={"path": "x"})
    stack._connection_manager = Mock(call=call, get_session=lambda: Mock(client=project.client))
    return first_cause.explain(gather.gather([stack]))


def look(project: Project, kinds: list[str], seen: dict[str, Explanation]) -> None:
    """Keep why services fail of which that is known by now."""
    for kind in kinds:
        explanation = explained(project, kind) if kind not in seen else seen[kind]
        if explanation.cause and explanation.cause.kind == kind:
            seen[kind] = explanation


@pytest.fixture(scope="module")
def found(project: Project) -> Iterator[dict[str, Explanation]]:
    """Let services fail beside that of the project, all at the same time; return by kind why each does.

    Those that end after they ran fail no deployment (rule E6), so that they are asked while their launch stands still.
    """
    cloudformation, seen = project.client("cloudformation"), dict[str, Explanation]()
    made = outputs(project) | {"Image": project.status()["image"]}
    for number, kind in enumerate(FAILURES):
        body = template(service(project, made, kind, number), None)
        cloudformation.create_stack(StackName=kind.replace("_", "-"), TemplateBody=body)
        # ECS forgets a stopped task after an hour, of AWS's.
        look(project, list(FAILURES)[: number + 1], seen)
    deadline = time.monotonic() + WAIT_SECONDS
    while seen.keys() != FAILURES.keys() and time.monotonic() < deadline:
        look(project, list(FAILURES), seen)
        time.sleep(1)
    yield seen
    ecs, cluster = project.client("ecs"), made["ClusterName"]
    for arn in ecs.list_services(cluster=cluster)["serviceArns"]:
        # What still waits for one of these then ends by itself.
        if "/spotfleet-" not in arn:
            ecs.delete_service(cluster=cluster, service=arn, force=True)
    for kind in FAILURES:
        name = kind.replace("_", "-")
        while cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"].endswith("_IN_PROGRESS"):
            time.sleep(1)
        cloudformation.delete_stack(StackName=name)
        cloudformation.get_waiter("stack_delete_complete").wait(**EVERY_SECOND, StackName=name)


@pytest.mark.parametrize("kind", FAILURES)
def test_each_service_says_why_it_fails(project: Project, found: dict[str, Explanation], kind: str) -> None:
    assert kind in found, explained(project, kind)
    cause = found[kind].cause
    assert cause
    for word in FAILURES[kind][2]:
        assert word in f"{cause.sentence} {cause.way_out} {' '.join(cause.log)}"


def test_what_is_well_is_said_to_be_well(project: Project) -> None:
    shown = project.local("why", "dev")
    assert shown.returncode == 0, shown.stdout
    assert shown.stdout == "dev: nothing failed; every stack is complete, 2 of 2 tasks of service run.\n"
    told = json.loads(project.local("why", "dev", "--json").stdout)
    assert (told["failed"], told["kind"], told["unread"]) == (False, None, [])


def test_a_shell_that_is_kept_to_the_embedded_aws_is_not_led_to_aws(project: Project) -> None:
    refused = project.local("why", "dev", "--aws", LOCAL_AWS_ENDPOINT=f"http://127.0.0.1:{project.port}")
    assert refused.returncode == 1
    assert "for AWS take a new shell" in refused.stdout

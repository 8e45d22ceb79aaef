"""Every metric of the templates' alarms and dashboards is published, and says what AWS's own would."""

import base64
import functools
import importlib
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.api.machines import read_machines
from spotfleet.local.balancer.metrics import BalancerMetrics
from spotfleet.local.controllers import machine_limits
from spotfleet.local.controllers.container_limits import Containers
from spotfleet.local.controllers.machine_limits import MachineLimits
from spotfleet.local.controllers.machines import Fleet
from spotfleet.local.controllers.status_metrics import ResourceMetrics
from spotfleet.local.controllers.usage_metrics import Metrics
from tests.spotfleet.local.balancer.test_metrics import FRONTEND, Process, line
from tests.support import answers
from tests.support.answers import Answer, answering
from tests.support.balancers import Elbv2
from tests.support.changed import changed
from tests.templates.test_options import MOST

# Namespace, name, and the names of the dimensions.
Metric = tuple[str, str, frozenset[str]]

REGION = "eu-west-1"
CERTIFICATE = f"arn:aws:acm:{REGION}:000000000000:certificate/1"
MINUTE = 60
# HAProxy lets connections above its limit wait: it has none to reject, and no count of them.
NEVER_HAPPENS = ("AWS/ApplicationELB", "RejectedConnectionCount", frozenset({"LoadBalancer"}))


def wanted_by_templates() -> set[Metric]:
    """Return the metrics of all alarms and of the dashboard of an environment with all of them."""
    environment = changed(**MOST)
    alarms = [
        alarm for stack in environment.stacks for alarm in environment.of_type(stack, "AWS::CloudWatch::Alarm").values()
    ]
    found = {
        (alarm["Namespace"], alarm["MetricName"], frozenset(item["Name"] for item in alarm["Dimensions"]))
        for alarm in alarms
    }
    body = environment.properties("service", "Dashboard")["DashboardBody"]["Fn::Sub"]
    for widget in json.loads(re.sub(r"\$\{[^}]*\}", "1", body))["widgets"]:
        for metric in widget["properties"]["metrics"]:
            words = [word for word in metric if isinstance(word, str)]
            # An expression is made of other metrics.
            if words:
                found.add((words[0], words[1], frozenset(words[2::2])))
    return found


class Service:
    """A service of AWS that gives every operation the same answer, whatever it is asked."""

    def __init__(self, **answers: Answer) -> None:
        self._answers = answers

    def __getattr__(self, operation: str) -> Callable[..., Answer]:
        return lambda **_asked: self._answers[operation]


class Published:
    """What CloudWatch is given, of which it has nothing of before."""

    def __init__(self) -> None:
        self.units: dict[Metric, str] = {}
        self.values: dict[tuple[str, str], list[float]] = {}

    def put_metric_data(self, Namespace: str, MetricData: list[Answer]) -> None:  # noqa: N803  # boto3's name
        """Keep the metrics, their values and units."""
        for item in MetricData:
            dimensions = frozenset(dimension["Name"] for dimension in item["Dimensions"])
            self.units[Namespace, item["MetricName"], dimensions] = item["Unit"]
            self.values[Namespace, item["MetricName"]] = item["Values"]

    def get_metric_data(self, **asked: Any) -> Answer:  # noqa: ANN401
        """Return nothing of before."""
        ids = [query["Id"] for query in asked["MetricDataQueries"]]
        return {"MetricDataResults": [{"Id": id_, "Timestamps": [], "Values": []} for id_ in ids]}


class Engine:
    """A Docker engine whose containers have all used the same."""

    api: "Engine"

    def __init__(self) -> None:
        self.api = self

    def stats(self, _container: str, **_options: bool) -> Answer:
        """Return a container's statistics."""
        memory = {"usage": 64 * 1024 * 1024, "stats": {}}
        return {"memory_stats": memory, "networks": {"eth0": {"rx_bytes": 300, "tx_bytes": 700}}}

    def inspect_container(self, _container: str) -> Answer:
        """Return a container's limits."""
        return {"HostConfig": {"CpuPeriod": 0, "CpuQuota": 0}}

    def update_container(self, _container: str, **_limits: int) -> None:
        """Limit a container."""


def running_service() -> dict[str, Any]:
    """Return what AWS's services answer of a cluster with one machine, on which one task of one service runs."""
    now = datetime.now(UTC)
    instance_arn = f"arn:aws:ecs:{REGION}:000000000000:container-instance/c/1"
    resources = [{"name": "CPU", "integerValue": 2048}, {"name": "MEMORY", "integerValue": 512}]
    instance = {
        **{"containerInstanceArn": instance_arn, "ec2InstanceId": "i-1", "status": "ACTIVE"},
        **{"registeredResources": resources, "remainingResources": resources},
        **{"runningTasksCount": 1, "pendingTasksCount": 0},
    }
    task = {
        **{"taskArn": "task/c/1", "taskDefinitionArn": "web:1", "startedBy": "web", "lastStatus": "RUNNING"},
        **{
            "startedAt": now,
            "containerInstanceArn": instance_arn,
            "containers": [{"name": "web", "runtimeId": "container"}],
        },
    }
    definition = {"containerDefinitions": [{"name": "web", "cpu": 256, "memory": 128}]}
    group_arn = f"arn:aws:autoscaling:{REGION}:000000000000:autoScalingGroup:1:autoScalingGroupName/group"
    provider = {
        "name": "spot",
        "autoScalingGroupProvider": {"autoScalingGroupArn": group_arn, "managedScaling": {"status": "ENABLED"}},
    }
    group = answers.group(
        AutoScalingGroupARN="arn:group",
        MinSize=1,
        MaxSize=3,
        LaunchTemplate={"LaunchTemplateId": "lt-1", "Version": "1"},
        Instances=[answers.member("i-1")],
    )
    described = {
        **{"InstanceId": "i-1", "InstanceType": "t3.micro", "State": {"Name": "running"}},
        "LaunchTime": now - timedelta(hours=1),
        "Tags": [{"Key": "aws:autoscaling:groupName", "Value": "group"}],
    }
    passed = {"Status": "ok"}
    user_data = base64.b64encode(b"ECS_CLUSTER=c").decode()
    return {
        "ecs": Service(
            list_clusters={"clusterArns": ["cluster/c"]},
            describe_clusters={"clusters": [{"clusterName": "c", "status": "ACTIVE", "capacityProviders": ["spot"]}]},
            list_services={"serviceArns": []},
            list_tasks={"taskArns": ["task/c/1"]},
            describe_tasks={"tasks": [task]},
            describe_task_definition={"taskDefinition": definition},
            list_container_instances={"containerInstanceArns": [instance_arn]},
            describe_container_instances={"containerInstances": [instance]},
            describe_capacity_providers={"capacityProviders": [provider]},
        ),
        "autoscaling": Service(describe_auto_scaling_groups={"AutoScalingGroups": [group]}),
        "ec2": Service(
            describe_instances={"Reservations": [{"Instances": [described]}]},
            describe_instance_credit_specifications={
                "InstanceCreditSpecifications": [{"InstanceId": "i-1", "CpuCredits": "unlimited"}]
            },
            describe_launch_template_versions={
                "LaunchTemplateVersions": [{"LaunchTemplateData": {"Monitoring": {"Enabled": True}}}]
            },
            describe_instance_attribute={"UserData": {"Value": user_data}},
            describe_instance_status={
                "InstanceStatuses": [{"InstanceId": "i-1", "SystemStatus": passed, "InstanceStatus": passed}]
            },
        ),
        "acm": Service(
            list_certificates={"CertificateSummaryList": [{"CertificateArn": CERTIFICATE}]},
            describe_certificate={"Certificate": {"NotAfter": now + timedelta(days=100, hours=1)}},
        ),
        "cloudwatch": Published(),
    }


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Published:
    """What the controllers publish of a minute of a service with traffic and errors."""
    services = running_service()
    elbv2 = Elbv2()
    elbv2.targets = {("i-1", 32768): "healthy", ("i-1", 32769): "unhealthy"}
    services["elbv2"] = elbv2
    client = functools.cache(lambda service, *_place: answering(service, services[service]))
    monkeypatch.setattr(clients, "client", client)
    monkeypatch.setattr(embedded_aws, "regions", lambda: [REGION])
    moment = [10.0 * MINUTE]
    process = Process()
    balancer = BalancerMetrics(process, lambda: [REGION], client, lambda: moment[0])  # type: ignore[arg-type]
    resources = ResourceMetrics(lambda: [REGION], client, lambda: moment[0])
    tasks = Metrics(Engine())  # type: ignore[arg-type]
    balancer.step()
    process.ok = 20
    monkeypatch.setattr(process, "statistics", lambda: lines_with_errors(process))
    balancer.step()
    moment[0] += MINUTE
    balancer.step()
    resources.step()
    tasks._minute -= 1
    tasks.step()
    monkeypatch.setattr(machine_limits, "_books", {})
    limits = MachineLimits(Containers(Engine()))  # type: ignore[arg-type]
    limits._period -= 1
    limits.step()
    fleet, now = Fleet(), time.time()
    fleet._scale(REGION, read_machines(REGION))
    with monkeypatch.context() as a_minute_later:
        a_minute_later.setattr(time, "time", lambda: now + MINUTE)
        fleet._scale(REGION, read_machines(REGION))
    for name in ("STATE_DIR", "S3_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    # It reads these variables.
    importlib.import_module("spotfleet.local.emulator.logs")._count_lines("web", [{"message": "hällo"}])
    found: Published = services["cloudwatch"]
    return found


def lines_with_errors(process: Process) -> list[dict[str, str]]:
    """Return HAProxy's statistics: the target gave 4xx and 5xx, and the load balancer more of them itself."""
    frontend, server = (
        line(name, kind, process.ok, failed) | {"hrsp_4xx": str(failed)}
        for name, kind, failed in ((FRONTEND, "FRONTEND", 9), ("targetgroup.blue.3333", "i-1:32768", 5))
    )
    return [frontend | {"conn_tot": "7", "bin": "100", "bout": "900", "scur": "3"}, server]


def test_every_metric_of_alarms_and_dashboard_is_published(published: Published) -> None:
    wanted = wanted_by_templates()
    assert len(wanted) > 20
    assert wanted - published.units.keys() == {NEVER_HAPPENS}


def test_metrics_have_awss_units(published: Published) -> None:
    units = {(namespace, name): unit for (namespace, name, _dimensions), unit in published.units.items()}
    assert units["AWS/ECS", "MemoryUtilization"] == "Percent"
    assert units["AWS/EC2", "NetworkOut"] == units["AWS/Logs", "IncomingBytes"] == "Bytes"
    assert units["AWS/EC2", "StatusCheckFailed_System"] == units["AWS/ApplicationELB", "HealthyHostCount"] == "Count"
    assert units["AWS/ApplicationELB", "TargetResponseTime"] == "Seconds"
    assert units["AWS/AutoScaling", "GroupInServiceInstances"] == "None"


def test_what_is_published_is_what_is_there(published: Published) -> None:
    values = published.values
    assert values["AWS/EC2", "NetworkIn"] == [300.0]
    assert values["AWS/EC2", "NetworkOut"] == [700.0]
    assert values["AWS/ECS", "MemoryReservation"] == [0.0]
    assert values["AWS/Logs", "IncomingBytes"] == [6.0]
    assert 0 <= values["AWS/EC2", "CPUCreditBalance"][0] < 1
    assert values["AWS/EC2", "CPUSurplusCreditsCharged"] == [0.0]
    assert values["AWS/CertificateManager", "DaysToExpiry"][0] >= 100
    assert values["AWS/EC2", "StatusCheckFailed_System"] == [0.0]
    sizes = {name: value for (namespace, name), value in values.items() if namespace == "AWS/AutoScaling"}
    assert sizes == {
        "GroupMinSize": [1.0],
        "GroupMaxSize": [3.0],
        "GroupDesiredCapacity": [1.0],
        "GroupInServiceInstances": [1.0],
        "GroupPendingInstances": [0.0],
        "GroupTerminatingInstances": [0.0],
        "GroupTotalInstances": [1.0],
    }

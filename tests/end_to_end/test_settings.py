"""Environments with every setting that there is, launched on the embedded AWS with real containers."""

import contextlib
import http.client
import json
import re
import shutil
import ssl
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from spotfleet.settings.environment import SECTIONS
from tests.support import sample_project
from tests.support.changed import copy_service
from tests.support.projects import ROOT, Project, Requests

# Two of AWS's minutes, and more where the machine is busy.
DATA_SECONDS = 120
ACCOUNT = "000000000000"
ZONE = "Z0123456789ABCDEFGHIJ"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
LAYERS = ("vpc", "cluster", "load-balancer", "machines", "service")

# Each one is an environment of its own. What stands in {} is made by the test first.
FULL: dict[str, Any] = {
    **{"vpc_cidr": "10.8.0.0/16", "subnet_host_bits": 11, "availability_zones": 3, "used_zones": 2},
    **{"egress": "endpoints", "ipv6": True, "flow_logs": "all"},
    **{"idle_timeout_seconds": 30, "desync_mode": "strictest", "allowed_addresses": ["10.0.0.0/8", "2001:db8::/32"]},
    **{
        "domain_name": "app.example.test",
        "hosted_zone_id": ZONE,
        "tls_policy": "ELBSecurityPolicy-TLS13-1-3-2021-06",
        "hsts_max_age_days": 30,
    },
    **{"access_logs": True, "access_logs_days": 30, "web_application_firewall": True, "requests_per_address": 500},
    "counted_firewall_rules": ["SizeRestrictions_BODY"],
    **{"container_insights": "enhanced", "kept_images": 5},
    **{"alarms": True, "alarm_email": "ops@example.test", "alarm_p99_seconds": 0.5, "dashboard": True},
    **{
        "machine_image": "ami-0ec5a12023aaa8664",
        "instance_types": ["m5.large", "m6i.large"],
        "min_machines": 3,
        "max_machines": 8,
    },
    **{"on_demand_base": 2, "on_demand_percent_above_base": 50, "machine_scaling": "cpu"},
    **{"machine_cpu_target_percent": 60, "machine_warmup_seconds": 60, "max_machine_lifetime_days": 7},
    **{"root_volume_gib": 40, "reserved_memory_mib": 128, "detailed_monitoring": True, "extra_user_data": "date"},
    **{"cors_origins": "https://example.test", "environment_variables": {"LOG_LEVEL": "info"}},
    **{
        "secrets": {"KEY": "/shop/key", "WORD": "{secret}"},
        "secret_key_arns": [KEY],
    },
    **{"permissions_boundary_arn": "arn:aws:iam::aws:policy/PowerUserAccess", "role_path": "/teams/shop/"},
    **{"machine_policy_arns": ["arn:aws:iam::aws:policy/CloudWatchAgentServerPolicy"], "log_kms_key_arn": KEY},
    **{"foreign_buckets": ["partner-data"], "web_application_firewall_logging": "all"},
    **{"task_cpu_units": 128, "task_memory_mib": 128, "min_tasks": 1, "max_tasks": 3},
    **{"task_cpu_target_percent": 50, "task_memory_target_percent": 75, "requests_per_task": 600},
    **{"scale_out_cooldown_seconds": 15, "scale_in_cooldown_seconds": 60},
    "scheduled_scaling": [{"schedule": "cron(0 20 ? * MON-FRI *)", "min_tasks": 0, "max_tasks": 0}],
    **{"schedule_time_zone": "Europe/Dublin", "min_healthy_percent": 40, "max_percent": 250},
    **{"deployment_failures": 4, "deployment_alarms": True, "listener_priority": 200, "slow_start_seconds": 30},
    **{"health_check_interval_seconds": 15, "health_check_grace_seconds": 60},
    **{"deregistration_delay_seconds": 20, "stop_timeout_seconds": 10, "log_retention_days": 14},
    **{"restart_in_place": True, "metric_resolution_seconds": 20},
    **{"service_timeout_minutes": 10, "task_policy_arns": ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]},
    "services": {
        "api": {
            **{"path_pattern": "/api/*", "listener_priority": 90, "min_tasks": 1, "max_tasks": 1},
            **{"build_context": "services/api", "container_port": 8080, "health_check_path": "/api/hello"},
            **{"health_check_codes": "200-299", "health_check_timeout_seconds": 6},
            **{"health_check_healthy_count": 3, "health_check_unhealthy_count": 4},
        },
        "mail": {
            **{"kind": "worker", "single": True, "build_context": "services/mail", "dockerfile": "mail.Dockerfile"},
            **{"build_target": "worker", "build_arguments": {"WORDS": "a 'b'"}, "entry_point": ["python3"]},
            **{"command": ["/work.py", "$HOME"], "environment_file": "services/mail/mail.env", "user": ""},
            **{"read_only": False, "writable_folders": {"/run/mail": 1}, "capabilities": ["CHOWN"]},
            **{"shared_memory_mib": 16, "open_files_limit": 4096, "stop_timeout_seconds": 100},
            **{"container_health_command": ["python3", "-c", "open('/run/mail/alive')"]},
            **{"container_health_interval_seconds": 10, "container_health_timeout_seconds": 4},
            "container_health_retries": 2,
        },
    },
}
# What the worker above finds; its second stage cannot be built.
WORK = """
import json, os, sys, time

open("/run/mail/alive", "w").close()
os.chown("/run/mail/alive", 1, 1)
found = {"words": open("/words").read(), "level": os.environ["LEVEL"], "user": os.getuid(), "given": sys.argv[1:]}
print(json.dumps(found), flush=True)
time.sleep(10_000)
"""
MAIL = """ARG BASE_IMAGE
FROM $BASE_IMAGE AS worker
ARG WORDS
RUN printf '%s' "$WORDS" > /words
COPY work.py /
FROM worker
RUN exit 1
"""
OTHER: dict[str, Any] = {
    **{"vpc_cidr": "10.9.0.0/16", "egress": "nat_gateway_per_zone", "flow_logs": "rejected"},
    **{"load_balancer_scheme": "internal", "certificate_arn": "{certificate}", "deletion_protection": True},
    **{"access_logs": True, "access_logs_bucket": "{bucket}", "empty_repository_on_delete": False},
    **{"instance_types": [], "min_machines": 0, "capacity_target_percent": 90, "task_placement": "fewest_machines"},
    **{"outgoing_ports": [443, 587], "machine_security_group_ids": ["sg-0a1b2c3d4e5f67890"]},
    "instance_requirements": {"min_vcpus": 1, "max_vcpus": 4, "min_memory_gib": 2, "max_memory_gib": 8},
    **{"host_names": ["other.example.test"], "path_pattern": "/health*", "execute_command": True},
    **{"min_tasks": 1, "max_tasks": 2, "account_id": "123456789012"},
    **{"task_policy_arns": ["arn:aws:iam::aws:policy/AdministratorAccess"], "allow_administrator_tasks": True},
    "image": "{image}",
}
# Without the service: its image would need a machine of the other architecture.
ARM: dict[str, Any] = {
    **{"vpc_cidr": "10.10.0.0/16", "egress": "nat_instance", "nat_instance_type": "t4g.micro", "on_demand_base": 0},
    **{"cpu_architecture": "arm64", "instance_types": ["t4g.micro", "t4g.small"], "ipv6": True},
    **{"cpu_credits": "standard", "requests_per_task": 600},
}
GATEWAY: dict[str, Any] = {"vpc_cidr": "10.11.0.0/16", "egress": "nat_gateway", "allow_plain_http": True}
# What is switched on in the running environment dev, and off again.
SWITCHED: dict[str, Any] = {
    **{"egress": "nat_gateway", "flow_logs": "rejected", "deletion_protection": True, "container_insights": "enabled"},
    **{"alarms": True, "dashboard": True, "deployment_alarms": True, "task_memory_target_percent": 75},
}

# Every launch without a registry has another one than the configured already; who leaves HTTPS has had it before.
SAME_EVERYWHERE = {"base_image", "leave_https"}


class Cloud:
    """A project with its embedded AWS, in which environments are added and launched."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.client = project.client

    def add(self, name: str, settings: dict[str, Any], *further_services: str, **made: str) -> None:
        """Add an environment as the documentation says: a copy of dev's folder with other settings."""
        folder = self.project.folder / "config" / name
        shutil.copytree(self.project.folder / "config/dev", folder)
        self.change(name, settings, **made)
        for service in further_services:
            copy_service(folder, service)

    def change(self, name: str, settings: dict[str, Any], **made: str) -> None:
        """Give an environment other settings."""
        file = self.project.folder / "config" / name / "config.yaml"
        kept = [line for line in file.read_text().splitlines() if line.partition(":")[0] not in settings]
        text = yaml.safe_dump(settings, width=1000)
        for placeholder, value in made.items():
            text = text.replace(f"'{{{placeholder}}}'", value)
        file.write_text("\n".join([*kept, text]))

    def launch(self, path: str) -> None:
        """Launch an environment or a stack with plain Sceptre."""
        launched = self.project.sceptre("launch", "-y", path)
        assert launched.returncode == 0, launched.stdout

    def delete(self, path: str, **variables: str) -> None:
        """Delete an environment or a stack with plain Sceptre."""
        deleted = self.project.sceptre("delete", "-y", path, **variables)
        assert deleted.returncode == 0, deleted.stdout

    def stacks(self, environment: str) -> dict[str, str]:
        """Return the state of each stack of an environment."""
        found = self.client("cloudformation").describe_stacks()["Stacks"]
        prefix = f"spotfleet-{environment}-"
        named = [stack for stack in found if stack["StackName"].startswith(prefix)]
        return {stack["StackName"].removeprefix(prefix): stack["StackStatus"] for stack in named}

    def resources(self, environment: str, layer: str, kind: str) -> list[str]:
        """Return the physical ids of the resources of a type."""
        name = f"spotfleet-{environment}-{layer}"
        found = self.client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
        return [item["PhysicalResourceId"] for item in found if item["ResourceType"] == kind]

    def containers(self) -> list[dict[str, Any]]:
        """Return what Docker says about the containers of all tasks."""
        ids = self.project.run("docker", "ps", "-q", "--filter", self.project.container_label).stdout.split()
        inspected: list[dict[str, Any]] = json.loads(self.project.run("docker", "inspect", *ids).stdout) if ids else []
        return inspected


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A project with an embedded AWS in which the environment dev is up."""
    project = Project(tmp_path_factory.mktemp("settings"))
    launched = project.local("up")
    assert launched.returncode == 0, launched.stdout
    yield Cloud(project)
    for file in sorted((project.folder / "config").glob("*/config.yaml")):
        deleted = project.local("down", file.parent.name)
        assert deleted.returncode == 0, deleted.stdout
    assert project.leftovers() == []


def test_every_setting_is_launched_with_another_value_than_that_of_dev() -> None:
    settings = {name for section in SECTIONS for name in section.model_fields} | {"services"}
    launched = {*FULL, *FULL["services"]["api"], *FULL["services"]["mail"], *OTHER, *ARM, *GATEWAY}
    assert settings - launched == SAME_EVERYWHERE
    text = (sample_project.SAMPLE / "config/dev/config.yaml").read_text()
    dev = yaml.safe_load(jinja2.Template(text).render(environment_variable={}))
    for name in launched & dev.keys():
        values = [environment[name] for environment in (FULL, OTHER, ARM, GATEWAY) if name in environment]
        assert any(value != dev[name] for value in values), name


def test_options_go_on_and_off_while_the_service_answers(cloud: Cloud) -> None:
    file = cloud.project.folder / "config/dev/config.yaml"
    before, off = file.read_text(), options(cloud)
    with Requests(cloud.project.status()["url"]) as requests:
        cloud.change("dev", SWITCHED)
        cloud.launch("dev")
        on = options(cloud)
        file.write_text(before)
        cloud.launch("dev")
    assert {name for name in off if on[name] != off[name]} == off.keys()
    assert (on["routes"], on["protected"]) == ({"NatGatewayId": 2}, {True})
    assert options(cloud) == off
    assert set(requests.answers) == {"200"}


def options(cloud: Cloud) -> dict[str, Any]:
    """Return what the environment dev has of the options that are switched."""
    (vpc,) = cloud.resources("dev", "vpc", "AWS::EC2::VPC")
    (cluster,) = cloud.resources("dev", "cluster", "AWS::ECS::Cluster")
    ec2 = cloud.client("ec2")
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    routes = [route for table in tables for route in table["Routes"]]
    described = cloud.client("ecs").describe_clusters(clusters=[cluster], include=["SETTINGS"])["clusters"][0]
    scaling = cloud.client("application-autoscaling").describe_scaling_policies(ServiceNamespace="ecs")
    stacks = cloud.client("cloudformation").describe_stacks()["Stacks"]
    return {
        "routes": Counter(way for route in routes for way in ("InstanceId", "NatGatewayId") if route.get(way)),
        "flow logs": [log["TrafficType"] for log in ec2.describe_flow_logs()["FlowLogs"]],
        "insights": [setting["value"] for setting in described["settings"]],
        "alarms": len(cloud.resources("dev", "service", "AWS::CloudWatch::Alarm")),
        "dashboards": len(cloud.client("cloudwatch").list_dashboards()["DashboardEntries"]),
        "scaling": sorted(policy["PolicyName"] for policy in scaling["ScalingPolicies"]),
        "protected": {stack["EnableTerminationProtection"] for stack in stacks},
    }


def test_everything_at_once(cloud: Cloud) -> None:
    secret = cloud.client("secretsmanager").create_secret(Name="word", SecretString="horse")["ARN"]
    cloud.client("ssm").put_parameter(Name="/shop/key", Value="42", Type="String")
    cloud.add("full", FULL, "api", "mail", secret=secret)
    add_program(cloud.project.folder / "services/api")
    add_worker(cloud.project.folder / "services/mail")
    launched = cloud.project.local("up", "full")
    assert launched.returncode == 0, launched.stdout
    check_answers(cloud, launched.stdout)
    assert cloud.stacks("full") == dict.fromkeys((*LAYERS, "api", "mail"), "CREATE_COMPLETE")

    given = {"KEY=42", "WORD=horse", "LOG_LEVEL=info", "CORS_ORIGINS=https://example.test"}
    inside = [set(container["Config"]["Env"]) for container in cloud.containers()]
    assert [given <= variables for variables in inside].count(True) == 2  # one task of each service
    check_worker(cloud)
    check_network(cloud)
    check_load_balancer(cloud)
    check_operations(cloud)
    check_dashboard(cloud)
    cloud.delete("full")
    assert cloud.stacks("full") == {}


def add_program(folder: Path) -> None:
    """Make a folder from which the image of another service is built; it answers below /api/."""
    for name in ("service", "image"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "spotfleet/facts").mkdir(parents=True)
    for name in ("Dockerfile", ".dockerignore", "spotfleet/facts/origins.py"):
        shutil.copy(ROOT / name, folder / name)
    pages = (sample_project.SAMPLE / "handlers.py").read_text()
    (folder / "service/handlers.py").write_text(
        pages.replace('"/"', '"/api/hello"').replace("HELLO WORLD", "HELLO API")
    )


def add_worker(folder: Path) -> None:
    """Make a folder from which the image of a worker is built."""
    folder.mkdir()
    (folder / "work.py").write_text(WORK)
    (folder / "mail.Dockerfile").write_text(MAIL)
    (folder / "mail.env").write_text('# of the worker\nLEVEL="low" # as it is\n')


def check_worker(cloud: Cloud) -> None:
    """Check that the worker was built, started and given what its settings say, and nothing else."""
    (worker,) = [each for each in cloud.containers() if each["Config"]["Entrypoint"] == ["python3"]]
    logged = cloud.project.run("docker", "logs", worker["Id"]).stdout.splitlines()
    assert json.loads(logged[0]) == {
        **{"words": "a 'b'", "level": '"low" # as it is', "user": 0, "given": ["$HOME"]},
    }
    assert not worker["NetworkSettings"]["Ports"]
    assert worker["HostConfig"]["CapAdd"] in (["CHOWN"], ["CAP_CHOWN"])
    assert worker["HostConfig"]["CapDrop"] == ["ALL"]
    assert cloud.resources("full", "mail", "AWS::ElasticLoadBalancingV2::TargetGroup") == []


def check_answers(cloud: Cloud, output: str) -> None:
    """Check that HTTPS answers where `up` says, and HTTP sends there."""
    answered, _between, rest = output.rpartition("\n\nRehearsed with ")
    live_page = rest.partition("\nLive page: ")[2]
    assert answered.endswith("\nHTTP/1.1 200 OK\n<h1>HELLO WORLD</h1>")
    assert live_page.startswith(f"http://127.0.0.1:{cloud.project.port}/_spotfleet/page#")
    url = answered.splitlines()[-3]
    assert url.startswith("https://127.0.0.1:")
    state = cloud.project.folder / f".local/{cloud.project.port}"
    trusting = ssl.create_default_context(cafile=state / "balancer.pem")
    for path, page in (("", b"<h1>HELLO WORLD</h1>"), ("api/hello", b"<h1>HELLO API</h1>")):
        with urllib.request.urlopen(f"{url}{path}", timeout=10, context=trusting) as response:  # noqa: S310  # our own
            assert response.read() == page
            assert response.headers.get_all("Strict-Transport-Security") == ["max-age=2592000"]
    (balancer,) = cloud.resources("full", "load-balancer", "AWS::ElasticLoadBalancingV2::LoadBalancer")
    ports = json.loads((state / "balancer.json").read_text())[balancer]
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", ports["80"], timeout=10)) as connection:
        connection.request("GET", "/")
        response = connection.getresponse()
        assert (response.status, response.headers["location"]) == (301, url)
        assert "Strict-Transport-Security" not in response.headers, "browsers heed it over HTTPS only"


def check_network(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    (vpc,) = cloud.resources("full", "vpc", "AWS::EC2::VPC")
    of_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    endpoints = ec2.describe_vpc_endpoints(Filters=of_vpc)["VpcEndpoints"]
    services = {endpoint["ServiceName"].removeprefix("com.amazonaws.eu-west-1.") for endpoint in endpoints}
    assert {"s3", "ecs", "ecs-agent", "ecs-telemetry", "ecr.api", "ecr.dkr", "logs"} <= services
    subnets = ec2.describe_subnets(Filters=of_vpc)["Subnets"]
    assert len(subnets) == 6
    assert all(subnet["Ipv6CidrBlockAssociationSet"] for subnet in subnets)
    logs = ec2.describe_flow_logs()["FlowLogs"]
    assert [log["TrafficType"] for log in logs if log["ResourceId"] == vpc] == ["ALL"]


def check_load_balancer(cloud: Cloud) -> None:
    (balancer,) = cloud.resources("full", "load-balancer", "AWS::ElasticLoadBalancingV2::LoadBalancer")
    listeners = cloud.client("elbv2").describe_listeners(LoadBalancerArn=balancer)["Listeners"]
    assert {listener["Port"]: listener["DefaultActions"][0]["Type"] for listener in listeners} == {
        80: "redirect",
        443: "fixed-response",
    }
    assert cloud.client("wafv2").get_web_acl_for_resource(ResourceArn=balancer)["WebACL"]["Rules"]
    (certificate,) = cloud.resources("full", "load-balancer", "AWS::CertificateManager::Certificate")
    described = cloud.client("acm").describe_certificate(CertificateArn=certificate)["Certificate"]
    assert described["DomainName"] == FULL["domain_name"]
    records = cloud.client("route53").list_resource_record_sets(HostedZoneId=ZONE)["ResourceRecordSets"]
    aliases = {record["Type"] for record in records if "AliasTarget" in record}
    assert aliases == {"A", "AAAA"}


def check_operations(cloud: Cloud) -> None:
    (topic,) = cloud.resources("full", "cluster", "AWS::SNS::Topic")
    subscriptions = cloud.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [item["Endpoint"] for item in subscriptions] == [FULL["alarm_email"]]
    alarms = cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    heard = [alarm["AlarmName"] for alarm in alarms if topic in alarm["AlarmActions"]]
    assert len(heard) >= 10
    assert cloud.resources("full", "service", "AWS::CloudWatch::Dashboard")
    scaling = cloud.client("application-autoscaling")
    actions = scaling.describe_scheduled_actions(ServiceNamespace="ecs")["ScheduledActions"]
    assert {action["Timezone"] for action in actions} == {"Europe/Dublin"}
    policies = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    full = [policy["PolicyName"] for policy in policies if "spotfleet-full-cluster" in policy["ResourceId"]]
    assert sorted(set(full)) == ["cpu", "memory", "requests"]


def check_dashboard(cloud: Cloud) -> None:
    """Check that all that the dashboard draws has data, apart from errors, which nobody has made."""
    cloudwatch = cloud.client("cloudwatch")
    (dashboard,) = cloud.resources("full", "service", "AWS::CloudWatch::Dashboard")
    body = json.loads(cloudwatch.get_dashboard(DashboardName=dashboard)["DashboardBody"])
    drawn = [metric for widget in body["widgets"] for metric in widget["properties"]["metrics"]]
    # With machine_scaling: cpu nobody manages the capacity provider.
    named = [metric[:-1] for metric in drawn if len(metric) > 1 and metric[0] != "AWS/ECS/ManagedScaling"]
    wanted = [metric for metric in named if "XX_Count" not in metric[1]]
    assert len(wanted) >= 15
    deadline = time.monotonic() + DATA_SECONDS
    while missing := [metric[:2] for metric in wanted if not has_data(cloud, *metric)]:
        assert time.monotonic() < deadline, missing
        time.sleep(1)


def has_data(cloud: Cloud, namespace: str, name: str, *dimensions: str) -> bool:
    """Return whether a metric has got data in the last minutes."""
    named = [{"Name": key, "Value": value} for key, value in zip(dimensions[::2], dimensions[1::2], strict=True)]
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": named}
    now = datetime.now(UTC)
    (found,) = cloud.client("cloudwatch").get_metric_data(
        MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}}],
        StartTime=now - timedelta(minutes=10),
        EndTime=now,
    )["MetricDataResults"]
    return bool(found["Values"])


def test_the_other_choices(cloud: Cloud) -> None:
    cloud.client("s3").create_bucket(Bucket="our-logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    certificate = cloud.client("acm").request_certificate(DomainName="other.example.test", ValidationMethod="DNS")
    # Nothing is built for it: it runs the image of dev.
    image = cloud.project.status("dev")["image"]
    cloud.add("other", OTHER, bucket="our-logs", certificate=certificate["CertificateArn"], image=image)
    cloud.launch("other")
    assert cloud.stacks("other") == dict.fromkeys(LAYERS, "CREATE_COMPLETE")
    refused = cloud.project.sceptre("delete", "-y", "other")
    assert refused.returncode == 1
    assert "other is protected" in last_line(refused.stdout)
    assert cloud.stacks("other") == dict.fromkeys(LAYERS, "CREATE_COMPLETE")

    cloud.delete("other", CONFIRM_DELETE="other")
    assert cloud.stacks("other") == {}


def test_arm64_machines_behind_a_nat_instance(cloud: Cloud) -> None:
    cloud.add("arm", ARM)
    cloud.launch("arm/machines.yaml")
    ec2 = cloud.client("ec2")
    (nat,) = cloud.resources("arm", "vpc", "AWS::EC2::Instance")
    machine = ec2.describe_instances(InstanceIds=[nat])["Reservations"][0]["Instances"][0]
    assert (machine["InstanceType"], machine["SourceDestCheck"]) == ("t4g.micro", False)
    routes = [route for table in ec2.describe_route_tables()["RouteTables"] for route in table["Routes"]]
    assert [route.get("InstanceId") for route in routes].count(nat) == 2  # one private subnet in each zone
    cloud.delete("arm")
    assert cloud.stacks("arm") == {}


def test_one_nat_gateway_and_what_sceptre_says_when_a_launch_fails(cloud: Cloud) -> None:
    cloud.add("gateway", GATEWAY)
    cloud.launch("gateway/vpc.yaml")
    assert len(cloud.resources("gateway", "vpc", "AWS::EC2::NatGateway")) == 1

    unreadable = "Resources:\n  Wrong:\n    Type: AWS::EC2::Nothing\n"
    cloud.project.replace("templates/vpc.yaml.j2", "Resources:\n", unreadable)
    refused = cloud.project.sceptre("launch", "-y", "gateway/vpc.yaml")
    assert refused.returncode == 1
    assert "spotfleet-gateway-vpc: Template format error" in last_line(refused.stdout)
    cloud.project.replace("templates/vpc.yaml.j2", unreadable, "Resources:\n")

    wrong = """Resources:
  Wrong:
    Type: AWS::EC2::Subnet
    Properties:
      VpcId: !Ref Vpc
      Ipv6CidrBlock: 2001:db8::/64
"""
    cloud.project.replace("templates/vpc.yaml.j2", "Resources:\n", wrong)
    failed = cloud.project.sceptre("launch", "-y", "gateway/load-balancer.yaml")
    assert failed.returncode == 1
    # AWS says CREATE_FAILED of a resource that is new in an update, the embedded AWS UPDATE_FAILED.
    reason = r"Wrong \(AWS::EC2::Subnet\) (CREATE|UPDATE)_FAILED: The CIDR .* the VPC has no IPv6 network that holds it"
    assert re.match(rf"gateway/vpc is UPDATE_ROLLBACK_COMPLETE: {reason}\. To go on, ", last_line(failed.stdout))
    # Nothing was built on the stack that had failed.
    assert cloud.stacks("gateway") == {"vpc": "UPDATE_ROLLBACK_COMPLETE"}

    # The next launch says what was wrong, and mends it.
    cloud.project.replace("templates/vpc.yaml.j2", wrong, "Resources:\n")
    mended = cloud.project.sceptre("launch", "-y", "gateway/vpc.yaml")
    assert mended.returncode == 0, mended.stdout
    assert re.search(rf"The last update was rolled back, because {reason}", mended.stdout)
    cloud.delete("gateway")
    assert cloud.stacks("gateway") == {}


def test_a_stack_stays_while_another_one_builds_on_it(cloud: Cloud) -> None:
    before = cloud.stacks("dev")
    refused = cloud.project.sceptre("--ignore-dependencies", "delete", "-y", "dev/vpc.yaml")
    assert refused.returncode == 1
    state = before["load-balancer"]
    assert last_line(refused.stdout).startswith(
        f"dev/vpc was not deleted: dev/load-balancer, which builds on it, still exists and is {state}."
    )
    assert cloud.stacks("dev") == before


def last_line(output: str) -> str:
    """Return the last line of what a command has printed; Sceptre puts quotes around it."""
    return output.strip().splitlines()[-1].strip('"')

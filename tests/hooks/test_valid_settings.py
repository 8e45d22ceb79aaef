"""The check of an environment's settings: what is right passes, what is wrong is named with what would be right."""

import json
import re
import shutil
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from sceptre.context import SceptreContext
from sceptre.exceptions import SceptreException
from sceptre.plan.plan import SceptrePlan

from hooks.valid_settings import ValidSettings
from spotfleet.facts import instance_types
from spotfleet.settings import shown
from spotfleet.settings.capacity import tasks_during_deployment, tasks_per_machine
from spotfleet.settings.environment import Settings
from spotfleet.settings.problems import find_problems, remarks
from tests.support import sample_project
from tests.support.changed import copy_service
from tests.support.sample_project import ENVIRONMENTS
from tools import instance_types_by_region

CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
STANDARD: dict[str, object] = {"cpu_credits": "standard"}
BY_REQUESTS: dict[str, object] = {"requests_per_task": 600}
REQUIREMENTS = {"min_vcpus": 2, "max_vcpus": 4, "min_memory_gib": 4, "max_memory_gib": 8}


def settings(environment: str = "dev", /, **changes: object) -> dict[str, Any]:
    """Return an environment's settings with some of them changed."""
    return sample_project.settings(environment) | changes


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Copy what Sceptre reads, to be broken by the test."""
    sample_project.write_config(tmp_path / "config")
    return tmp_path


def edit(project: Path, old: str, new: str, file: str = "dev/config.yaml") -> None:
    path = project / "config" / file
    changed = re.sub(old, new, path.read_text(), count=1, flags=re.MULTILINE)
    assert changed != path.read_text()
    path.write_text(changed)


def run_hook(project: Path, environment: str = "dev") -> None:
    """Run the hook as `sceptre launch` does on the environment's first stacks."""
    to_launch = SceptrePlan(SceptreContext(str(project), environment))
    to_launch.resolve("launch")
    for stack in to_launch.launch_order[0]:
        next(hook for hook in stack.hooks["before_launch"] if isinstance(hook, ValidSettings)).run()


def test_sceptre_finds_the_hook() -> None:
    (entry_point,) = entry_points(group="sceptre.hooks", name="valid_settings")
    assert entry_point.load() is ValidSettings


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_shipped_environments_are_valid(environment: str) -> None:
    assert find_problems(settings(environment)) == {}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_hook_lets_a_valid_environment_pass(project: Path, environment: str) -> None:
    run_hook(project, environment)


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("key", "value", "should"),
    [
        ("vpc_cidr", "10.0.0.0/8", "must have a prefix from /16 to /24"),
        ("vpc_cidr", "10.0.0.1/16", "must be an IPv4 network such as 10.0.0.0/16"),
        ("vpc_cidr", "300.0.0.0/16", "must be an IPv4 network such as 10.0.0.0/16"),
        ("vpc_cidr", "10.0.0.0/255.255.0.0", "must be written as 10.0.0.0/16"),
        ("vpc_cidr", "172.17.0.0/20", "must be outside 172.17.0.0/16, which is Docker's own on each machine"),
        ("vpc_cidr", "169.254.0.0/16", "must be outside 169.254.0.0/16, which is link-local"),
        ("vpc_cidr", 10, "must be a valid string"),
        ("subnet_host_bits", 4, "must be greater than or equal to 5"),
        ("subnet_host_bits", 14, "must be less than or equal to 13"),
        ("availability_zones", 4, "must be less than or equal to 3"),
        ("availability_zones", "2", "must be a valid integer"),
        ("egress", "two", "must be 'nat_instance', 'nat_gateway', 'nat_gateway_per_zone' or 'endpoints'"),
        ("nat_instance_type", "t3.nano", "must be an arm64 type such as t4g.nano"),
        ("domain_name", "https://example.com", "must be the domain of the load balancer"),
        ("hosted_zone_id", "example.com", "must be the id of the public Route 53 zone"),
        ("certificate_arn", "arn:aws:iam::123456789012:server-certificate/x", "must be the ARN of a certificate"),
        ("tls_policy", "ELBSecurityPolicy-2016-08", "must be the TLS versions and ciphers"),
        ("allowed_addresses", ["203.0.113.7"], "must hold networks such as 203.0.113.0/24, not 203.0.113.7"),
        ("access_logs_bucket", "My_Bucket", "must be the bucket for these logs"),
        ("alarm_email", "nobody", "must be the address that the alarms are sent to"),
        ("requests_per_address", 9, "must be greater than or equal to 10"),
        ("task_policy_arns", ["ReadOnlyAccess"], "must hold ARNs that begin with arn:aws:iam:"),
        ("task_policy_arns", ["arn:aws:iam::1:role/x"], "must hold ARNs that begin with arn:aws:iam:"),
        ("task_policy_arns", [READ_ONLY, READ_ONLY], "must not name a policy twice"),
        ("machine_policy_arns", ["ReadOnlyAccess"], "must hold ARNs that begin with arn:aws:iam:"),
        ("machine_policy_arns", [ADMINISTRATOR], "must not let a machine raise itself to administrator"),
        ("machine_security_group_ids", ["database"], "must hold ids of security groups such as sg-0a1b2c3d4e5f67890"),
        ("machine_security_group_ids", ["sg-0a1b2c3d"] * 2, "must not name a security group twice"),
        ("machine_security_group_ids", [f"sg-0a1b2c3{number}" for number in range(5)], "at most 4"),
        ("permissions_boundary_arn", "bounds", "must be the ARN of the IAM policy that bounds"),
        ("permissions_boundary_arn", "arn:aws:iam::123456789012:role/x", "must be the ARN of the IAM policy that"),
        ("role_path", "teams", "must be the path of every role"),
        ("role_path", "/teams", "must be the path of every role"),
        ("role_path", "/te ams/", "must be the path of every role"),
        ("foreign_buckets", ["Bucket"], "must hold names of buckets such as partner-data"),
        ("foreign_buckets", ["*", "partner-data"], 'must not name buckets beside "*"'),
        ("log_kms_key_arn", "alias/logs", "must be the ARN of the KMS key of all log groups"),
        ("web_application_firewall_logging", True, "must be 'disabled', 'blocked' or 'all'"),
        ("host_names", ["https://a"], "must hold names such as api.example.com, not https://a"),
        ("slow_start_seconds", 10, "must be 0, or 30 to 900"),
        ("schedule_time_zone", "dublin", "must be the time zone of these times"),
        ("deletion_protection", "true", "must be true or false, without quotes"),
        ("container_insights", True, "must be 'disabled', 'enabled' or 'enhanced'"),
        ("build_context", "../other", "must be the folder of the project that holds the Dockerfile"),
        ("build_context", "/srv/api", "must be the folder of the project that holds the Dockerfile"),
        ("dockerfile", "../Dockerfile", "must be the path of the Dockerfile in that folder"),
        ("build_target", "--push", "must be the stage of the Dockerfile to build"),
        ("build_arguments", {"A-B": "1"}, "must have names such as LOG_LEVEL, which no. 1 is not"),
        ("image", "nginx", "must end in a tag or a digest, such as :1.27"),
        ("image", "registry.example.com:5000/team/shop", "must end in a tag or a digest"),
        ("image", "https://hub.docker.com/_/nginx:1", "must be the existing image by its tag or digest"),
        ("command", "gunicorn app:app", "must be a valid list"),
        ("command", ["migrate", "&&", "serve"], "must not have && as a word, which means something to a shell only"),
        ("container_port", 0, "must be greater than or equal to 1"),
        ("environment_file", "/etc/environment", "must be the file of the project with lines such as LOG_LEVEL=info"),
        ("user", "nobody nogroup", "must be the user of the container"),
        ("writable_folders", {"tmp": 64}, "must hold paths such as /tmp, without a slash at the end, not tmp"),
        ("writable_folders", {"/tmp/": 64}, "must hold paths such as /tmp"),  # noqa: S108
        ("writable_folders", {"/tmp/../etc": 64}, "must hold paths such as /tmp"),  # noqa: S108
        ("writable_folders", {"/usr": 64}, "must not hold /usr, as it would hide what the image or Docker has there"),
        ("writable_folders", {"/dev/shm": 64}, "must not hold /dev/shm"),  # noqa: S108
        ("capabilities", ["CHOWN", "CHOWN"], "must not name a capability twice"),
        ("health_check_path", "health", "must be the path that the load balancer asks for"),
        ("health_check_codes", "500", "must be the status codes of a healthy task's answer"),
        ("max_percent", 99, "must be greater than or equal to 100"),
        ("cpu_architecture", "amd64", "must be 'x86_64' or 'arm64'"),
        ("instance_types", "t3.micro", "must be a valid list"),
        ("instance_types", ["t2.micro"], "not t2.micro"),
        ("instance_types", ["t3.micro", "t3.micro"], "must not name a type twice"),
        ("instance_types", ["t3.micro", "m5.large"], "must not mix t types with others"),
        ("on_demand_percent_above_base", 101, "must be less than or equal to 100"),
        ("max_tasks", -1, "must be greater than or equal to 0"),
        ("listener_priority", 70000, "must be less than or equal to 50000"),
        ("path_pattern", "api/*", "must be the paths of the service's requests"),
        ("cors_origins", "example.com", "must be * or origins such as https://example.com"),
        ("base_image", "python 3.13", "must be the Python image"),
        ("log_retention_days", 10, "must be 1, 3, 5, 7"),
        ("project_code", "spot_fleet", "must be the first part of every stack's name"),
        ("project_code", "spot--fleet", "with single hyphens between them"),
        ("region", "eu-west-11", "must be a region of AWS; the nearest is eu-west-1."),
        ("region", "aws-global", "must be a region of AWS"),
        ("stack_tags", {"Project": "spotfleet"}, "must hold the tag Environment"),
        ("protect", "yes", "must be true or false, without quotes"),
        ("disable_rollback", "True", "must be true or false, without quotes"),
    ],
)
def test_wrong_value_is_named_with_what_would_be_right(key: str, value: object, should: str) -> None:
    problems = find_problems(settings(**{key: value}))
    assert list(problems) == [key]
    assert problems[key].startswith(f"is {value!r}: ")
    assert should in problems[key]
    assert "\n" not in problems[key]


def test_a_capability_that_docker_would_not_give_either_is_named() -> None:
    problems = find_problems(settings(capabilities=["SYS_ADMIN"]))
    assert problems["capabilities.0"].startswith("is 'SYS_ADMIN': must be 'AUDIT_WRITE', 'CHOWN'")


def test_a_wrong_schedule_is_named_with_its_place() -> None:
    night = {"schedule": "cron(0 20 * * MON-FRI *)", "min_tasks": 0, "max_tasks": 0}
    problems = find_problems(settings(scheduled_scaling=[night]))
    assert "must be such as cron(0 20 ? * MON-FRI *)" in problems["scheduled_scaling.0.schedule"]
    assert "needs a ? as its day of month or as its day of week" in problems["scheduled_scaling.0.schedule"]


@pytest.mark.parametrize(
    ("changes", "key", "should"),
    [
        ({"vpc_cidr": "10.0.0.0/20"}, "subnet_host_bits", "must be at most 9, so that six subnets fit a /20 network"),
        ({"hosted_zone_id": "Z0123456789"}, "domain_name", "must be given with hosted_zone_id"),
        ({"domain_name": "example.com"}, "domain_name", "needs hosted_zone_id, or certificate_arn"),
        ({"certificate_arn": CERTIFICATE}, "certificate_arn", "must be a certificate in eu-west-1"),
        ({"access_logs_bucket": "logs"}, "access_logs_bucket", "is not used while access_logs is false"),
        ({"alarm_email": "me@example.com"}, "alarm_email", "is not used while alarms is false"),
        ({"deployment_alarms": True}, "deployment_alarms", "needs alarms to be true"),
        (
            {"metric_resolution_seconds": 20, "min_tasks": 2, "max_tasks": 2},
            "metric_resolution_seconds",
            "must be 60 with max_tasks equal to min_tasks (2) at all times",
        ),
        (
            {"web_application_firewall_logging": "all"},
            "web_application_firewall_logging",
            "is not used while web_application_firewall is false",
        ),
        (
            {"log_kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"},
            "log_kms_key_arn",
            "must be a key in eu-west-1",
        ),
        (
            {"task_policy_arns": [READ_ONLY, ADMINISTRATOR]},
            "task_policy_arns",
            f"must not hold {ADMINISTRATOR}, which lets a task raise itself to administrator of the account, unless",
        ),
        (
            {"services": {"api": {"listener_priority": 90, "task_policy_arns": [ADMINISTRATOR]}}, "max_machines": 9},
            "services.api.task_policy_arns",
            "unless allow_administrator_tasks is true",
        ),
        ({"instance_types": []}, "instance_types", "must name at least one type, or none with instance_requirements"),
        ({"instance_requirements": REQUIREMENTS}, "instance_types", "or none with instance_requirements"),
        (
            {"instance_types": [], "instance_requirements": REQUIREMENTS | {"max_vcpus": 1}},
            "instance_requirements",
            "must not have a maximum below its minimum",
        ),
        (
            {"scheduled_scaling": [{"schedule": "rate(1 day)", "min_tasks": 2, "max_tasks": 1}]},
            "scheduled_scaling",
            "must not have max_tasks below min_tasks",
        ),
        ({"environment_variables": {"CORS_ORIGINS": "*"}}, "environment_variables", "that is the setting cors_origins"),
        (
            {"environment_variables": {"PORT": "8080"}},
            "environment_variables",
            "must not give PORT another value than container_port (5000), where the load balancer asks",
        ),
        ({"kind": "worker", "host_names": ["a.example.com"]}, "host_names", "is not used by a worker, which no load"),
        ({"kind": "worker", "requests_per_task": 60}, "requests_per_task", "is not used by a worker"),
        ({"kind": "worker", "container_port": 80}, "container_port", "is not used by a worker"),
        ({"kind": "worker", "stop_timeout_seconds": 105}, "stop_timeout_seconds", "must be at most 104: of the 120 s"),
        (
            {"services": {"mail": {"kind": "worker", "listener_priority": 90}}, "max_machines": 9},
            "services.mail.listener_priority",
            "is not used by a worker",
        ),
        ({"container_health_retries": 5}, "container_health_retries", "is not used without container_health_command"),
        (
            {"container_health_command": ["true"], "container_health_interval_seconds": 5},
            "container_health_timeout_seconds",
            "must be less than container_health_interval_seconds (5)",
        ),
        ({"single": True, "requests_per_task": 60}, "requests_per_task", "is not used with single"),
        ({"secrets": {"PORT": "/port"}}, "secrets", "must not name PORT: that is the setting container_port"),
        (
            {"image": "nginx:1.27", "build_arguments": {"A": "1"}},
            "build_arguments",
            "is not used with image, of which nothing is built",
        ),
        (
            {"writable_folders": {"/tmp": 200}, "shared_memory_mib": 64},  # noqa: S108
            "writable_folders",
            "must leave the program some of task_memory_mib (256)",
        ),
        ({"shared_memory_mib": 256}, "shared_memory_mib", "together they are 256 MiB"),
        (
            {"health_check_interval_seconds": 5},
            "health_check_timeout_seconds",
            "must be less than health_check_interval_seconds (5)",
        ),
        (
            {"health_check_codes": "200,399-300"},
            "health_check_codes",
            "a range that ends before it begins",
        ),
        (
            {"max_percent": 100, "min_tasks": 0, "min_healthy_percent": 50},
            "max_percent",
            "one more task than min_tasks",
        ),
        (
            {"environment_variables": {"KEY": "1"}, "secrets": {"KEY": "/key"}},
            "secrets",
            "must not name KEY, which is a plain variable too",
        ),
        (
            {"services": {"api": {}}, "max_machines": 9},
            "services.api",
            "must have a listener_priority of its own, not 100",
        ),
        (
            {"services": {"api": {"listener_priority": 90, "max_tasks": 30}}},
            "max_machines",
            "must be at least 34: 68 tasks run during a deployment",
        ),
        (
            {"services": {"api": {"listener_priority": 90, "max_tasks": 1}}, "max_machines": 9},
            "services.api.max_tasks",
            "must be at least min_tasks (2)",
        ),
        ({"cpu_architecture": "arm64"}, "instance_types", "must be of cpu_architecture arm64, not t3.micro"),
        ({"instance_types": ["t4g.micro"]}, "instance_types", "must be of cpu_architecture x86_64, not t4g.micro"),
        ({"min_machines": 4}, "max_machines", "must be more than min_machines (4)"),
        ({"min_tasks": 5}, "max_tasks", "must be at least min_tasks (5)"),
        ({"max_percent": 149, "min_tasks": 1}, "max_percent", "one more task than min_tasks (1)"),
        ({"task_memory_mib": 900}, "task_memory_mib", "must fit the smallest of t3.micro"),
        ({"max_tasks": 7}, "max_machines", "must be at least 7: 14 tasks run during a deployment"),
        ({"deregistration_delay_seconds": 100}, "stop_timeout_seconds", "must be at most 104 together with"),
        ({"min_healthy_percent": 100}, "min_healthy_percent", "must be at most 50 where tasks can stand on Spot"),
        ({"min_healthy_percent": 51}, "min_healthy_percent", "of min_tasks (2) it lets none stop before"),
        ({"min_healthy_percent": 100, "min_tasks": 1}, "min_healthy_percent", "must be below 100 where tasks can"),
        ({"capacity_target_percent": 99}, "capacity_target_percent", "or task_placement fewest_machines"),
        (
            {"machine_scaling": "cpu", "min_machines": 2},
            "machine_cpu_target_percent",
            "must be at most 20 with machine_scaling cpu: tasks that fill a t3.micro use 512 of its 2048 CPU units, 25",
        ),
        (
            {"machine_scaling": "cpu", "machine_cpu_target_percent": 20},
            "min_machines",
            "must be at least 2 with machine_scaling cpu, which adds no machine for a task that has no room",
        ),
        (
            {"machine_scaling": "cpu", "machine_cpu_target_percent": 15, "min_machines": 2, **STANDARD, **BY_REQUESTS},
            "machine_cpu_target_percent",
            "must be at most 5 with machine_scaling cpu: without credits (cpu_credits standard) a t3.micro is at 10 %",
        ),
        (
            STANDARD,
            "task_cpu_target_percent",
            "without credits a t3.micro gives its 2 tasks 204 CPU units, 39 % of their 2 x 256",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_named(changes: dict[str, object], key: str, should: str) -> None:
    problems = find_problems(settings(**changes))
    assert list(problems) == [key]
    assert should in problems[key]


@pytest.mark.parametrize(
    "changes",
    [
        {"min_healthy_percent": 100, "on_demand_percent_above_base": 100},
        {"min_healthy_percent": 100, "on_demand_base": 4},
        {"min_healthy_percent": 99, "min_tasks": 1},
        {"min_healthy_percent": 75, "min_tasks": 4},
        {"capacity_target_percent": 80, "task_placement": "fewest_machines"},
        {"capacity_target_percent": 80, "machine_scaling": "cpu", "machine_cpu_target_percent": 9, "min_machines": 2},
        {"machine_scaling": "cpu", "machine_cpu_target_percent": 20, "min_machines": 2},
        {**STANDARD, **BY_REQUESTS},
        {**STANDARD, "task_cpu_target_percent": 26},
        {**STANDARD, "instance_types": ["m7i.large"]},
        {"environment_variables": {"PORT": "8080"}, "container_port": 8080},
        {"health_check_interval_seconds": 5, "health_check_timeout_seconds": 4},
        {"max_percent": 100, "min_healthy_percent": 0},
        {"min_tasks": 0, "max_tasks": 0},
        {"image": "nginx:1.27", "user": "", "capabilities": ["CHOWN", "SETGID", "SETUID"]},
        {"kind": "worker", "stop_timeout_seconds": 104, "deregistration_delay_seconds": 300},
        {"single": True, "min_tasks": 3},
        {"services": {"mail": {"kind": "worker", "command": ["work"], "single": True}}, "max_machines": 6},
        # What the first service asks for does not count against a further one.
        {"requests_per_task": 600, "services": {"mail": {"kind": "worker"}}, "max_machines": 9},
    ],
)
def test_settings_that_go_together_pass(changes: dict[str, object]) -> None:
    assert find_problems(settings(**changes)) == {}


def test_what_a_machine_has_to_replace_first_takes_time_of_its_spot_notice() -> None:
    # Two of four tasks are on a machine, and three have to serve.
    problems = find_problems(settings(min_tasks=4, min_healthy_percent=75, health_check_interval_seconds=30))
    assert list(problems) == ["stop_timeout_seconds"]
    assert "must be at most 29 together with deregistration_delay_seconds (30)" in problems["stop_timeout_seconds"]
    assert "75 s until replacements serve (2 checks, 30 s apart)" in problems["stop_timeout_seconds"]


def test_a_further_service_lets_its_tasks_stop_as_well() -> None:
    api = {"listener_priority": 90, "min_healthy_percent": 100, "max_tasks": 2, "task_placement": "zones_first"}
    problems = find_problems(settings(max_machines=6, services={"api": api}))
    assert list(problems) == ["services.api.min_healthy_percent"]


def test_administrators_that_are_meant_pass() -> None:
    assert find_problems(settings(task_policy_arns=[ADMINISTRATOR], allow_administrator_tasks=True)) == {}


def test_a_deployment_may_stop_a_task_first_where_it_may_not_start_one() -> None:
    assert find_problems(settings(max_percent=149, min_healthy_percent=50)) == {}


def test_all_wrong_settings_are_named_at_once() -> None:
    assert list(find_problems(settings(min_tasks=-1, egress="two"))) == ["egress", "min_tasks"]


def test_missing_setting_is_named_with_its_meaning() -> None:
    config = settings()
    del config["on_demand_base"]
    assert find_problems(config) == {"on_demand_base": "is missing; it is the machines that Spot cannot take away"}


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [("max_task", "max_tasks"), ("protected", "protect"), ("nat_instance", "nat_instance_type")],
)
def test_unknown_setting_is_named_with_the_nearest_known_one(unknown: str, nearest: str) -> None:
    assert find_problems(settings(**{unknown: True})) == {unknown: f"is not a setting; the nearest is {nearest}"}


def test_a_setting_in_the_file_of_a_stack_is_looked_for_there(project: Path) -> None:
    edit(project, r"\Z", "\nstack_name: mine\n", "dev/vpc.yaml")
    with pytest.raises(SceptreException, match=r"config/dev/vpc\.yaml: stack_name is not a setting"):
        run_hook(project)


def test_unknown_setting_that_is_like_no_other_is_named() -> None:
    assert find_problems(settings(xyzzy=1)) == {"xyzzy": "is not a setting"}


@pytest.mark.parametrize(
    ("own", "key", "problem"),
    [
        ({"max_task": 3}, "services.api.max_task", "is not a setting; the nearest is max_tasks"),
        ({"vpc_cidr": "10.0.0.0/16"}, "services.api.vpc_cidr", "is not a setting"),
        ({"max_tasks": -1}, "services.api.max_tasks", "is -1: must be greater than or equal to 0"),
    ],
)
def test_wrong_setting_of_a_further_service_is_named(own: dict[str, object], key: str, problem: str) -> None:
    problems = find_problems(settings(services={"api": {"listener_priority": 90, **own}}))
    assert list(problems) == [key]
    assert problems[key].startswith(problem)


@pytest.mark.parametrize("name", ["vpc", "service", "My_Service"])
def test_a_further_service_has_a_name_of_its_own(name: str) -> None:
    assert "is not the name of a further service" in find_problems(settings(services={name: {}}))[f"services.{name}"]


def test_machines_chosen_by_what_they_have_are_counted_by_the_smallest() -> None:
    chosen = settings(instance_types=[], instance_requirements=REQUIREMENTS)
    assert find_problems(chosen) == {}
    assert tasks_per_machine(Settings.model_validate(chosen)) == 8


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("API_TOKEN=abc\n", "holds API_TOKEN in line 1, which looks secret"),
        ("# ours\n\nDATABASE_URL=postgres://shop:s3cret@db/shop\n", "holds an address with a password in line 3"),
        ("LOG_LEVEL\n", "has LOG_LEVEL without = in line 1"),
        ("export LOG_LEVEL=info\n", "has no name such as LOG_LEVEL and = in line 1, without export"),
    ],
)
def test_hook_refuses_a_file_of_variables_without_showing_a_value(project: Path, text: str, problem: str) -> None:
    (project / "app.env").write_text(text)
    edit(project, r"\Z", "environment_file: app.env\n")
    with pytest.raises(SceptreException) as error:
        run_hook(project)
    assert f"config/dev/config.yaml: environment_file is 'app.env', and {problem}".replace("'", "") in str(error.value)
    assert "abc" not in str(error.value)
    assert "s3cret" not in str(error.value)


def test_hook_names_a_file_of_variables_that_is_not_there(project: Path) -> None:
    edit(project, r"\Z", "environment_file: app.env\n")
    with pytest.raises(SceptreException, match=r"environment_file is app.env, and names a file that cannot be read"):
        run_hook(project)


def test_hook_names_a_service_whose_file_or_settings_are_missing(project: Path) -> None:
    edit(project, r"\Z", "\nservices: {api: {listener_priority: 90, min_tasks: 1, max_tasks: 1}}\n")
    edit(project, r"^max_machines: 4", "max_machines: 5")
    with pytest.raises(SceptreException, match=r"services\.api has no config/dev/api\.yaml: copy service\.yaml, with"):
        run_hook(project)
    copy_service(project / "config/dev", "api")
    run_hook(project)
    copy_service(project / "config/dev", "shop")
    with pytest.raises(SceptreException, match=r"services has no shop, which config/dev/shop\.yaml needs"):
        run_hook(project)


def test_a_first_service_without_a_file_needs_no_machines(project: Path) -> None:
    edit(project, r"\Z", "\nservices: {api: {listener_priority: 90, min_tasks: 1, max_tasks: 1}}\n")
    copy_service(project / "config/dev", "api")
    with pytest.raises(SceptreException, match="max_machines is 4: must be at least 5: 10 tasks run"):
        run_hook(project)
    (project / "config/dev/service.yaml").unlink()
    run_hook(project)
    edit(project, r"max_tasks: 1", "max_tasks: 6")
    with pytest.raises(SceptreException, match="max_machines is 4: must be at least 6: 12 tasks run"):
        run_hook(project)


def test_hook_names_a_copy_of_a_service_that_kept_the_others_name(project: Path) -> None:
    edit(project, r"\Z", "\nservices: {api: {listener_priority: 90, min_tasks: 1, max_tasks: 1}}\nmax_machines: 5\n")
    edit(project, r"^max_machines: 4.*\n", "")
    shutil.copy(project / "config/dev/service.yaml", project / "config/dev/api.yaml")
    with pytest.raises(SceptreException, match=r'config/dev/api\.yaml must begin with {% set service = "api" %}'):
        run_hook(project)


def test_an_order_of_newer_machine_images_for_no_environment_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEWEST_MACHINE_IMAGE", "dve")
    with pytest.raises(
        SceptreException, match="NEWEST_MACHINE_IMAGE is dve, and there is no config/dve: give the name"
    ):
        run_hook(project)
    monkeypatch.setenv("NEWEST_MACHINE_IMAGE", "prod")
    run_hook(project)


def test_hook_names_file_key_value_and_what_would_be_right(project: Path) -> None:
    edit(project, r"^max_tasks: 4", "max_tasks: -1")
    with pytest.raises(
        SceptreException, match=r"^config/dev/config\.yaml: max_tasks is -1: must be greater than"
    ) as error:
        run_hook(project)
    assert "\n" not in str(error.value)


def test_hook_names_the_shared_file_where_that_one_is_wrong(project: Path) -> None:
    edit(project, r"^project_code:", "protected: true\nproject_code:", "config.yaml")
    with pytest.raises(
        SceptreException, match=r"^config/config\.yaml: protected is not a setting; the nearest is protect"
    ):
        run_hook(project)


def test_hook_runs_before_the_first_stack_of_an_environment(project: Path) -> None:
    edit(project, r"^min_tasks:", "min_task: 1\nmin_tasks:", "prod/config.yaml")
    run_hook(project, "dev")
    with pytest.raises(SceptreException, match="min_task is not a setting; the nearest is min_tasks"):
        run_hook(project, "prod")


@pytest.mark.parametrize("key", ["vpc_cidr", "instance_types", "max_tasks"])
def test_setting_that_a_stack_reads_in_vain_is_named_with_file_and_meaning(project: Path, key: str) -> None:
    edit(project, rf"^{key}:.*\n", "")
    meaning = re.escape(str(Settings.model_fields[key].description))
    with pytest.raises(
        SceptreException, match=rf"^dev/\S+\.yaml - {key} is missing: add it to config\.yaml .*{meaning}"
    ):
        run_hook(project)


def test_wrong_types_reach_the_hook_instead_of_breaking_the_wiring(project: Path) -> None:
    for key in Settings.model_fields:
        if re.search(rf"^{key}:", (project / "config/dev/config.yaml").read_text(), re.MULTILINE):
            edit(project, rf"^{key}:.*", f"{key}: {{wrong: [type]}}")
    with pytest.raises(
        SceptreException, match=r"config/dev/config\.yaml: vpc_cidr is \{'wrong': \['type'\]\}: must be"
    ):
        run_hook(project)


@pytest.mark.parametrize("name", ["t3.micro", "t3a.2xlarge", "t4g.nano", "m5.large", "c7g.medium", "r6a.16xlarge"])
def test_instance_types_of_known_families_are_known(name: str) -> None:
    assert instance_types.is_known(name)


@pytest.mark.parametrize("name", ["t2.micro", "m5.micro", "p4d.24xlarge", "t3", "t3.huge", "c4.large", ""])
def test_other_instance_types_are_not(name: str) -> None:
    assert not instance_types.is_known(name)


@pytest.mark.parametrize(
    ("name", "architecture", "nominal_gib", "vcpus"),
    [
        ("t3.nano", "x86_64", 0.5, 2),
        ("t3a.micro", "x86_64", 1, 2),
        ("t4g.small", "arm64", 2, 2),
        ("t3.2xlarge", "x86_64", 32, 8),
        ("c7g.medium", "arm64", 2, 1),
        ("m7i.xlarge", "x86_64", 16, 4),
        ("r6gd.4xlarge", "arm64", 128, 16),
    ],
)
def test_what_a_type_offers_follows_from_its_name(name: str, architecture: str, nominal_gib: float, vcpus: int) -> None:
    assert instance_types.architecture(name) == architecture
    assert instance_types.cpu_units(name) == vcpus * 1024
    assert instance_types.nominal_mib(name) == nominal_gib * 1024


@pytest.mark.parametrize(
    ("makers", "vcpus", "gib", "name"),
    [
        (["intel", "amd"], (1, 4), (2, 8), "c7a.medium"),
        (["intel", "amd"], (2, 4), (8, 16), "m7i.large"),
        (["intel"], (1, 4), (2, 8), "c7i.large"),
        (["amazon-web-services"], (1, 4), (2, 8), "c8g.medium"),
        (["amazon-web-services"], (2, 8), (8, 32), "m8g.large"),
        (["amd"], (1, 1), (8, 8), "r7a.medium"),
        (["amd"], (192, 192), (1536, 1536), "r7a.48xlarge"),
        # There is nothing between 4 and 8 GiB for two processors: the next larger one holds the tasks.
        (["amd"], (2, 2), (5, 7), "m7a.large"),
        (["amd"], (1, 192), (1537, 2000), None),
        (["apple"], (1, 4), (2, 8), None),
    ],
)
def test_the_smallest_type_with_some_attributes(
    makers: list[str], vcpus: tuple[int, int], gib: tuple[int, int], name: str | None
) -> None:
    least, most = gib
    found = instance_types.smallest(makers, vcpus, (least * 1024, most * 1024))
    assert found == name
    assert found is None or instance_types.is_known(found)


@pytest.mark.parametrize(
    ("region", "names", "missing"),
    [
        ("eu-west-1", ["t3a.micro", "t4g.nano"], []),
        ("eu-north-1", ["t3.micro", "t3a.micro"], ["t3a.micro"]),
        ("mx-central-1", ["t3a.small", "c8g.medium"], ["t3a.small", "c8g.medium"]),
        ("eusc-de-east-1", ["t3.micro"], None),
    ],
)
def test_types_that_a_region_lacks(region: str, names: list[str], missing: list[str] | None) -> None:
    assert instance_types.missing_in(region, names) == missing


def test_types_that_a_region_lacks_are_refused_with_source_and_date() -> None:
    problems = find_problems(settings(region="eu-north-1"))
    assert list(problems) == ["instance_types"]
    assert re.search(
        r"of t3a\.micro it has none there, as cfn-lint [\d.]+ of 20\d\d-\d\d-\d\d", problems["instance_types"]
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"region": "eusc-de-east-1"}, "Whether EC2 has t3.micro, t3a.micro, t3.small in eusc-de-east-1 is not known"),
        ({"region": "us-west-1", "availability_zones": 3}, "us-west-1 gives most accounts 2 zones, and 3 are set"),
        ({"region": "us-west-1"}, ""),
        ({"region": "us-east-1"}, "One zone of us-east-1, use1-az3"),
    ],
)
def test_what_only_aws_knows_is_said(changes: dict[str, object], words: str) -> None:
    found = list(remarks(settings(**changes)))
    assert len(found) == bool(words)
    assert all(words in remark for remark in found)


def test_data_of_regions_is_that_of_the_linter() -> None:
    data = json.loads(instance_types.DATA.read_text())
    said = {region: names.split() for region, names in data["families"].items()}
    assert (data["source"], said) == (instance_types_by_region.source(), instance_types_by_region.families_by_region())


def test_fleet_is_counted_by_its_smallest_machine() -> None:
    configured = Settings.model_validate(settings(instance_types=["t3.medium", "t3.micro"], task_memory_mib=300))
    assert tasks_per_machine(configured) == 2
    assert tasks_per_machine(configured.model_copy(update={"task_cpu_units": 2048})) == 1
    assert tasks_during_deployment(configured.model_copy(update={"max_tasks": 3, "max_percent": 150})) == 4


SECRET = "hunter2"  # noqa: S105  # nobody's
CONNECTION = f"postgres://shop:{SECRET}@db.example.com/shop"
# Each is a way in which a person may paste it into settings that name where a secret is, or that are plain.
PASTED = [
    *(CONNECTION, [CONNECTION], {"URL": [CONNECTION]}, {"URL": {"value": CONNECTION}}, {CONNECTION: "/shop/url"}),
    *(
        {"URL": CONNECTION},
        {"a b": CONNECTION},
        {"URL": f"Server=db;Password={SECRET};"},
    ),
    *({"URL": f"{SECRET}\n"}, {"URL": f"\0{SECRET}"}, {f"{SECRET}\r": ""}, {"URL": f"{SECRET}!"}, {1: CONNECTION}),
]


@pytest.mark.parametrize("pasted", PASTED, ids=repr)
@pytest.mark.parametrize(
    "shape",
    [
        lambda pasted: {"secrets": pasted},
        lambda pasted: {"services": {"api": {"listener_priority": 9, "secrets": pasted}}},
        lambda pasted: {"services": {"api": {"environment_variables": [pasted]}}},
        lambda pasted: {"services": {"api": pasted}},
        lambda pasted: {"services": pasted},
        lambda pasted: {"environment_variables": [pasted]},
        lambda pasted: {"extra_user_data": pasted},
        lambda pasted: {"extra_user_data": f"{pasted}" * 500},
        lambda pasted: {"secret": pasted},
        lambda pasted: {"environment_variables": {"CORS_ORIGINS": f"{pasted}"}},
    ],
)
def test_no_message_holds_a_secret(pasted: object, shape: Callable[[object], dict[str, Any]]) -> None:
    problems = find_problems(settings(**shape(pasted)))
    assert SECRET not in str(problems)
    assert all(text.isprintable() for pair in problems.items() for text in pair)


@pytest.mark.parametrize(
    "line",
    [
        f"secrets: {{URL: {CONNECTION}",
        f"secrets: {{URL: *{SECRET}}}",
        f"secrets: {{URL: !{SECRET} x}}",
        f"secrets: {{URL: '{CONNECTION}}}",
        f"secrets: {{[{SECRET}]: x}}",
        f'environment_variables: {{A: "{SECRET}\\!"}}',
    ],
)
def test_a_line_that_is_not_yaml_is_named_without_its_text(project: Path, line: str) -> None:
    path = project / "config/dev/config.yaml"
    path.write_text(f"{line}\n{path.read_text()}")
    with pytest.raises(SceptreException, match=r"^dev/config\.yaml - is not YAML.*: see its line \d+") as error:
        run_hook(project)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    "key", ["alarm_email", "base_image", "cors_origins", "host_names", "secret_key_arns", "region"]
)
def test_no_message_holds_the_password_of_an_address(key: str) -> None:
    is_list = Settings.model_fields[key].annotation == list[str]
    problems = find_problems(settings(**{key: [CONNECTION] if is_list else CONNECTION}))
    assert list(problems) == [key]
    assert SECRET not in problems[key]


def test_a_new_hook_is_told_how_to_be_installed(project: Path) -> None:
    edit(project, r"\Z", "    - !brand_new_hook {}\n", "dev/vpc.yaml")
    where = r"see line \d+ of what it becomes with wiring/vpc\.yaml\.j2 and wiring/stack\.yaml\.j2"
    with pytest.raises(
        SceptreException, match=rf"^dev/vpc\.yaml .* {where}; a hook that is new needs rm -rf .* -e \.$"
    ):
        run_hook(project)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user:pa:ss@db.test/shop", "user:…@db.test/shop"),
        ("postgres://user:pw@db.test/shop", "postgres://…@db.test/shop"),
        (f"registry.test:5000/python:3@sha256:{'a' * 64}", f"registry.test:5000/python:3@sha256:{'a' * 64}"),
        (f"user:pw@registry.test/python:3@sha256:{'a' * 64}", f"user:…@registry.test/python:3@sha256:{'a' * 64}"),
        ("ops@example.com", "ops@example.com"),
        ("must be such as: ops@example.com", "must be such as: ops@example.com"),
    ],
)
def test_an_address_keeps_all_but_its_password(text: str, said: str) -> None:
    assert shown.without_addresses(text) == said


@pytest.mark.parametrize(
    ("changes", "key", "problem"),
    [
        (
            {"environment_variables": {"LOG LEVEL": "info"}},
            "environment_variables",
            "must have names such as LOG_LEVEL",
        ),
        (
            {"secrets": {"KEY": f"{CERTIFICATE[:8]}secretsmanager:eu-west-1:123456789012:secret:key"}},
            "secrets",
            "of KEY",
        ),
        (
            {"secrets": {"KEY": "shop/key"}},
            "secrets",
            "must be full ARNs of secrets, or names or ARNs of SSM parameters",
        ),
    ],
)
def test_a_value_that_may_be_secret_is_named_without_being_shown(
    changes: dict[str, object], key: str, problem: str
) -> None:
    problems = find_problems(settings(**changes))
    assert list(problems) == [key]
    assert problems[key].startswith("has a value that is not shown, as it may be secret: ")
    assert problem in problems[key]


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("domain_name", "a\n.example.com", "a line break"),
        ("base_image", "python\x00:3", "the character U+0000"),
        ("base_image", "python\udcff:3", "the character U+DCFF"),
        ("stack_tags", {"Project": "a\u2028", "Environment": "b"}, "the character U+2028"),
        ("environment_variables", {"A": "\x1b[1m"}, "the character U+001B"),
        ("extra_user_data", "\ufffe", "the character U+FFFE"),
    ],
)
def test_characters_that_aws_refuses_are_named(key: str, value: object, name: str) -> None:
    assert find_problems(settings(**{key: value})) == {key: f"must not hold {name}"}


def test_lines_are_text_where_they_may_be() -> None:
    lines = "a\r\n\tb\n"
    assert find_problems(settings(environment_variables={"A": lines}, extra_user_data=lines)) == {}


def test_long_values_are_cut() -> None:
    problem = find_problems(settings(path_pattern="/" + "a" * 9000))["path_pattern"]
    assert len(problem) < 400
    assert "9003 characters" in problem


@pytest.mark.parametrize(
    ("folder", "code", "problem"),
    [
        ("my_env", "spotfleet", "must have one of letters and digits"),
        ("a" * 90, "spotfleet", "are too long for CloudFormation"),
    ],
)
def test_hook_names_an_environment_that_no_stack_can_be_named_after(
    project: Path, folder: str, code: str, problem: str
) -> None:
    (project / "config/dev").rename(project / "config" / folder)
    edit(project, r"^project_code: .*", f"project_code: {code}" + "x" * 20, "config.yaml")
    with pytest.raises(SceptreException, match=problem):
        run_hook(project, folder)


def test_hook_names_a_template_that_is_too_large(project: Path) -> None:
    (project / "templates").symlink_to(sample_project.ROOT / "templates")
    edit(project, r"\Z", "\nenvironment_variables: {" + ", ".join(f"A{n}: {'x' * 900}" for n in range(50)) + "}\n")
    with pytest.raises(SceptreException, match=r"template_bucket_name is missing: .* the template of dev/service has"):
        run_hook(project)
    edit(project, r"^project_code:", "template_bucket_name: shop-templates\nproject_code:", "config.yaml")
    run_hook(project)

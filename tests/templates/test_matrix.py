"""Every two values of different options together, rendered and strictly linted."""

from pathlib import Path
from typing import Any

import pytest
from allpairspy import AllPairs

from spotfleet.settings.environment import Settings
from spotfleet.settings.sceptre import SceptreSettings
from spotfleet.settings.service_contradictions import WEB_ONLY
from tests.support.changed import changed
from tools.lint_templates import lint

REQUIREMENTS = {"min_vcpus": 2, "max_vcpus": 4, "min_memory_gib": 4, "max_memory_gib": 8}
CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
DOMAIN = {"domain_name": "app.example.com", "hosted_zone_id": "Z0123456789ABC"}
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:database-AbCdEf"  # noqa: S105  # an ARN, no secret
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
NIGHT = {"schedule": "cron(0 20 ? * MON-FRI *)", "min_tasks": 0, "max_tasks": 0}

Values = list[dict[str, Any]]


def switch(name: str, on: object) -> Values:
    return [{}, {name: on}]


# Each value is the settings that make it; {} is what dev has.
OPTIONS: dict[str, Values] = {
    "zones": [{}, {"availability_zones": 3}, {"availability_zones": 3, "used_zones": 2}],
    "egress": [
        *({"egress": way} for way in ("nat_instance", "nat_gateway", "nat_gateway_per_zone", "endpoints")),
        {"egress": "nat_instance", "nat_instance_type": "t4g.micro", "outgoing_ports": [443, 587]},
    ],
    "ipv6": switch("ipv6", True),
    "flow logs": [{}, {"flow_logs": "rejected"}, {"flow_logs": "all"}],
    "https": [
        *(
            {},
            DOMAIN,
            {**DOMAIN, "leave_https": True},
            {"certificate_arn": CERTIFICATE},
            {**DOMAIN, "certificate_arn": CERTIFICATE},
        ),
        {
            "certificate_arn": CERTIFICATE,
            "domain_name": "app.example.com",
            "tls_policy": "ELBSecurityPolicy-TLS13-1-3-2021-06",
            "hsts_max_age_days": 0,
        },
    ],
    "scheme": switch("load_balancer_scheme", "internal"),
    "addresses": switch("allowed_addresses", ["203.0.113.0/24", "2001:db8::/32"]),
    "desync": [{}, {"desync_mode": "monitor"}, {"desync_mode": "strictest"}],
    "access logs": [
        *({}, {"access_logs": True, "access_logs_days": 30}, {"access_logs": True, "access_logs_bucket": "our-logs"})
    ],
    "firewall": [
        {},
        *(
            {"web_application_firewall": True, "web_application_firewall_logging": logged, "requests_per_address": 100}
            for logged in ("disabled", "blocked", "all")
        ),
    ],
    "counted rules": [{}, {"web_application_firewall": True, "counted_firewall_rules": []}],
    "plain HTTP": switch("allow_plain_http", True),
    "buckets": [{}, {"foreign_buckets": ["partner-data", "other.data"]}, {"foreign_buckets": ["*"]}],
    "boundary": switch("permissions_boundary_arn", "arn:aws:iam::123456789012:policy/bounds"),
    "path": switch("role_path", "/teams/shop/"),
    "log key": switch("log_kms_key_arn", KEY),
    "machine policies": switch("machine_policy_arns", ["arn:aws:iam::123456789012:policy/session-logs"]),
    "machine groups": switch("machine_security_group_ids", ["sg-0a1b2c3d4e5f67890", "sg-0a1b2c3d"]),
    "protection": switch("deletion_protection", True),
    "insights": [{}, {"container_insights": "enabled"}, {"container_insights": "enhanced"}],
    "repository": switch("empty_repository_on_delete", False),
    "alarms": [
        *({}, {"alarms": True}, {"alarms": True, "alarm_email": "me@example.com", "alarm_p99_seconds": 0.25}),
        {"alarms": True, "deployment_alarms": True},
    ],
    "failures": switch("deployment_failures", 1),
    "restarts": switch("restart_in_place", True),
    "dashboard": switch("dashboard", True),
    "machines": [
        {},
        {"cpu_architecture": "arm64", "instance_types": ["t4g.micro", "t4g.small"]},
        {"instance_types": ["m7i.large", "m7a.large"]},
        {"instance_types": [], "instance_requirements": REQUIREMENTS},
        {"cpu_architecture": "arm64", "instance_types": [], "instance_requirements": REQUIREMENTS},
    ],
    "machine scaling": [
        *({}, {"min_machines": 0}),
        {"machine_scaling": "cpu", "machine_cpu_target_percent": 5, "min_machines": 2},
    ],
    "placement": [{}, {"task_placement": "fewest_machines", "capacity_target_percent": 80}],
    "credits": [{}, {"cpu_credits": "standard", "requests_per_task": 600}],
    "lifetime": switch("max_machine_lifetime_days", 7),
    "monitoring": switch("detailed_monitoring", True),
    "commands": switch("extra_user_data", "echo ${HOME}\nif true; then\n  echo yes\nfi\n"),
    "variables": switch("environment_variables", {"LOG_LEVEL": "info", "TRUE": "it's true"}),
    "secrets": [
        *({}, {"secrets": {"KEY": f"{SECRET}:key::"}}, {"secrets": {"KEY": "/shop/key"}}),
        {"secrets": {"KEY": "/shop/key", "OTHER": SECRET}, "secret_key_arns": [KEY]},
    ],
    "shell": switch("execute_command", True),
    "kind": [
        *({}, {"kind": "worker"}, {"kind": "worker", "single": True, "stop_timeout_seconds": 95}),
        {"container_health_command": ["python3", "check.py"], "container_health_retries": 5},
    ],
    "command": switch("command", ["gunicorn", "app:app"]),
    "entry point": switch("entry_point", ["/bin/sh", "-c", "exec ${PROGRAM}"]),
    "image": switch("image", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/shop:1.4"),
    "user": [{}, {"user": ""}, {"user": "1000"}],
    "files": [
        *({}, {"read_only": False}, {"writable_folders": {"/tmp": 64, "/var/cache/nginx": 16}}),  # noqa: S108
        {"shared_memory_mib": 64},
    ],
    "capabilities": switch("capabilities", ["CHOWN", "SETGID", "SETUID"]),
    "open files": switch("open_files_limit", 65_536),
    "stop before start": [{}, {"max_percent": 100, "min_healthy_percent": 0}],
    "none": switch("min_tasks", 0),
    "policies": [
        *({}, {"task_policy_arns": ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]}),
        {"task_policy_arns": ["arn:aws:iam::aws:policy/PowerUserAccess"], "allow_administrator_tasks": True},
    ],
    "memory": switch("task_memory_target_percent", 80),
    "resolution": switch("metric_resolution_seconds", 20),
    "requests": switch("requests_per_task", 600),
    "schedule": [{}, {"scheduled_scaling": [NIGHT], "schedule_time_zone": "Europe/Dublin"}],
    "slow start": switch("slow_start_seconds", 30),
    "hosts": switch("host_names", ["api.example.com", "*.example.org"]),
}
# Plain numbers and names: they become parameters, whatever the other settings are.
PLAIN = {
    *("vpc_cidr", "subnet_host_bits", "idle_timeout_seconds", "kept_images", "max_machines", "on_demand_base"),
    *("on_demand_percent_above_base", "root_volume_gib"),
    *("account_id", "machine_image"),
    *("build_context", "dockerfile", "build_target", "build_arguments", "environment_file"),
    *("container_port", "health_check_path", "health_check_codes", "health_check_timeout_seconds"),
    *("health_check_healthy_count", "health_check_unhealthy_count"),
    *("container_health_interval_seconds", "container_health_timeout_seconds"),
    *("machine_warmup_seconds", "reserved_memory_mib", "base_image", "cors_origins", "task_cpu_units"),
    *("task_memory_mib", "max_tasks", "task_cpu_target_percent", "scale_out_cooldown_seconds"),
    *("scale_in_cooldown_seconds", "path_pattern", "listener_priority"),
    *("health_check_interval_seconds", "health_check_grace_seconds", "deregistration_delay_seconds"),
    *("log_retention_days", "service_timeout_minutes"),
    # Further services are stacks of the same template.
    "services",
}


def settings_of(combination: dict[str, int]) -> dict[str, Any]:
    """Return the settings of one value of each option, without those that the kind cannot use."""
    settings: dict[str, Any] = {}
    for option, value in combination.items():
        settings |= OPTIONS[option][value]
    unused = set(WEB_ONLY) if settings.get("kind") == "worker" else set()
    if settings.get("single"):
        unused |= {"min_tasks", "max_percent", "min_healthy_percent", "metric_resolution_seconds", "scheduled_scaling"}
    if settings.get("cpu_credits") == "standard" and "requests_per_task" in unused:
        unused.add("cpu_credits")
    return {name: value for name, value in settings.items() if name not in unused}


def test_matrix_varies_every_setting_that_shapes_a_template() -> None:
    varied = {name for values in OPTIONS.values() for settings in values for name in settings}
    assert varied | PLAIN == Settings.model_fields.keys() - SceptreSettings.model_fields.keys()
    assert not varied & PLAIN


@pytest.mark.matrix
def test_every_two_options_together_pass_the_strict_linter(tmp_path: Path) -> None:
    bodies: dict[str, Path] = {}
    for number, chosen in enumerate(AllPairs([range(len(values)) for values in OPTIONS.values()])):
        environment = changed(**settings_of(dict(zip(OPTIONS, chosen, strict=True))))
        for stack in environment.stacks:
            # Many combinations give the same template.
            bodies.setdefault(environment.body(stack), tmp_path / f"{number}-{stack}.yaml")
    for body, file in bodies.items():
        file.write_text(body)
    assert lint(list(bodies.values()), ["eu-west-1"]) == []

"""Settings that neither environment of the sample has, so that every rule and scanner has something to look at."""

from collections.abc import Iterable
from typing import Any

from sceptre.stack import Stack

from tests.support.changed import changed
from tests.support.rendered import Layers, layers
from tests.support.sample_project import ENVIRONMENTS, plan

FULL: dict[str, Any] = {
    **{"availability_zones": 3, "used_zones": 2, "egress": "endpoints", "ipv6": True, "flow_logs": "all"},
    **{"domain_name": "app.example.com", "hosted_zone_id": "Z0123456789ABCDEFGHIJ"},
    **{"access_logs": True, "web_application_firewall": True, "web_application_firewall_logging": "all"},
    "foreign_buckets": ["partner-data"],
    **{"permissions_boundary_arn": "arn:aws:iam::123456789012:policy/bounds", "role_path": "/teams/shop/"},
    "log_kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "machine_policy_arns": ["arn:aws:iam::123456789012:policy/session-logs"],
    **{"alarms": True, "alarm_email": "ops@example.com", "dashboard": True, "deployment_alarms": True},
    **{"cpu_architecture": "arm64", "instance_types": [], "machine_scaling": "cpu", "max_machine_lifetime_days": 7},
    "instance_requirements": {"min_vcpus": 1, "max_vcpus": 4, "min_memory_gib": 2, "max_memory_gib": 16},
    **{"secrets": {"KEY": "/shop/key"}, "execute_command": True, "slow_start_seconds": 30},
    **{"task_memory_target_percent": 75, "requests_per_task": 600, "restart_in_place": True},
    "metric_resolution_seconds": 20,
    "scheduled_scaling": [{"schedule": "cron(0 20 ? * MON-FRI *)", "min_tasks": 0, "max_tasks": 0}],
}
SIMPLE: dict[str, Any] = {
    **{"egress": "nat_instance", "load_balancer_scheme": "internal", "foreign_buckets": ["*"], "ipv6": True},
    **{"deployment_failures": 1, "outgoing_ports": [443, 587], "cpu_credits": "standard", "requests_per_task": 600},
    "machine_security_group_ids": ["sg-0a1b2c3d4e5f67890"],
    **{"permissions_boundary_arn": "arn:aws:iam::aws:policy/PowerUserAccess", "role_path": "/teams/"},
    **{"task_policy_arns": ["arn:aws:iam::aws:policy/AdministratorAccess"], "allow_administrator_tasks": True},
    "certificate_arn": "arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
    **{"cpu_architecture": "arm64", "instance_types": ["t4g.micro", "t4g.small"], "min_machines": 0},
}
VARIANTS = {"full": FULL, "simple": SIMPLE}
EVERYWHERE = [*ENVIRONMENTS, *VARIANTS]


def stacks(name: str) -> Iterable[Stack]:
    """Return the stacks of an environment of the sample or of a variant."""
    return changed(**VARIANTS[name]).stacks.values() if name in VARIANTS else plan(name).graph


def rendered(name: str) -> Layers:
    """Return the templates of an environment of the sample or of a variant, with the configured values filled in."""
    return layers(stacks(name))

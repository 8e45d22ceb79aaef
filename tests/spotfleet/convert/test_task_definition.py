"""ECS task definitions as settings."""

from typing import Any

import pytest

from spotfleet.convert import task_definition
from spotfleet.convert.part import ConversionError

CONTAINER = {
    "name": "registry",
    "image": "example/registry:2",
    "portMappings": [{"containerPort": 8181, "hostPort": 80, "protocol": "tcp"}],
    "environment": [{"name": "LOG", "value": "info"}, {"name": "DB_PASSWORD", "value": "t0ps3cret"}],
    "secrets": [{"name": "KEY", "valueFrom": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf"}],
    "healthCheck": {"command": ["CMD", "/check"], "interval": 10, "startPeriod": 90},
    "readonlyRootFilesystem": True,
    "user": "1000",
    "ulimits": [
        {"name": "nofile", "softLimit": 4096, "hardLimit": 8192},
        {"name": "core", "softLimit": 0, "hardLimit": 0},
    ],
    "linuxParameters": {
        "capabilities": {"add": ["SYS_PTRACE"]},
        "sharedMemorySize": 128,
        "tmpfs": [{"containerPath": "/tmp", "size": 100}],  # noqa: S108  # a folder in a container
    },
    "stopTimeout": 45,
    "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "x"}},
}


def definition(**more: object) -> dict[str, Any]:
    return {
        "family": "Registry_App",
        "cpu": "0.5 vCPU",
        "memory": "1 GB",
        "networkMode": "awsvpc",
        "runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
        "containerDefinitions": [CONTAINER],
        "revision": 7,
        "status": "ACTIVE",
        **more,
    }


def test_a_container_with_a_port_is_a_web_service() -> None:
    service = task_definition.convert(definition())
    assert service.name == "registry-app"
    assert service.of_environment == {"cpu_architecture": "arm64"}
    assert service.settings == {
        "kind": "web",
        "container_port": 8181,
        "health_check_path": "/",
        "path_pattern": "/*",
        "image": "example/registry:2",
        "secrets": {
            "KEY": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf",
            "DB_PASSWORD": "/{environment}/registry-app/db-password",
        },
        "environment_variables": {"LOG": "info"},
        "container_health_command": ["/check"],
        "container_health_interval_seconds": 10,
        "container_health_timeout_seconds": 5,
        "container_health_retries": 3,
        "health_check_grace_seconds": 90,
        "user": "1000",
        "read_only": True,
        "capabilities": ["SYS_PTRACE"],
        "shared_memory_mib": 128,
        "writable_folders": {"/tmp": 100},  # noqa: S108  # a folder in a container
        "open_files_limit": 4096,
        "task_cpu_units": 512,
        "task_memory_mib": 1024,
        "stop_timeout_seconds": 45,
        "min_tasks": 1,
        "max_tasks": 1,
    }
    assert service.not_taken == ["registry.ulimits.core: only the limit of open files can be set"]
    assert "t0ps3cret" not in str(service)


def test_without_a_port_it_is_a_worker_and_an_image_to_come_is_said() -> None:
    container = {"name": "w", "image": "<IMAGE1_NAME>", "memoryReservation": 300, "cpu": 10}
    service = task_definition.convert({"taskDefinition": {"family": "w", "containerDefinitions": [container]}})
    assert service.kind == "worker"
    assert "image" not in service.settings
    assert service.settings["task_memory_mib"] == 300
    assert service.settings["task_cpu_units"] == 128
    assert [line.partition(":")[0] for line in service.changed] == [
        "w.image",
        "w.root",
        "cpu",
        "memoryReservation",
        "tasks",
    ]


def test_further_containers_and_what_is_not_offered_are_named() -> None:
    other = {"name": "proxy", "image": "nginx"}
    container = CONTAINER | {"privileged": True, "dependsOn": [{"containerName": "proxy", "condition": "START"}]}
    told = definition(
        containerDefinitions=[other, container], volumes=[{"name": "data"}], networkMode="host", unheardOf=[1]
    )
    service = task_definition.convert(told)
    assert {line.partition(":")[0] for line in service.not_taken} == {
        *("registry.privileged", "registry.dependsOn", "registry.ulimits.core", "proxy", "volumes.data"),
        *("networkMode", "unheardOf"),
    }


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"containerDefinitions": []}, "a list of containers"),
        ({"containerDefinitions": [{"image": "x"}]}, "a list of containers that have names"),
        (definition(cpu="much"), "cpu must be a number of units"),
    ],
)
def test_what_makes_no_sense_is_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(ConversionError, match=words):
        task_definition.convert(told)

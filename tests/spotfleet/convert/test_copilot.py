"""AWS Copilot manifests as settings."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from spotfleet.convert import copilot
from spotfleet.convert.part import ConversionError
from spotfleet.convert.service import Service

WEB = """
name: catalogue
type: Load Balanced Web Service
image:
  location: example/catalogue:3
  port: 8010
http:
  path: '/'
  healthcheck: {path: /status/, success_codes: '200,302', interval: 10s, timeout: 4s}
  deregistration_delay: 30s
cpu: 700
memory: 1500
entrypoint: /entry.sh --fast
command: ["gunicorn", "-b", "0.0.0.0:8010"]
count:
  range: 2-5
  cpu_percentage: {value: 60, cooldown: {in: 90s, out: 45s}}
  requests: 900
exec: true
logging: {retention: 180}
secrets: {DATABASE: /shop/database}
variables: {LOG: info, LIMIT: 5, FAST: true}
taskdef_overrides:
- {path: "ContainerDefinitions[0].StopTimeout", value: 60}
"""


def convert(text: str, **more: object) -> dict[str, Service]:
    content: dict[str, Any] = yaml.safe_load(text) | more
    return copilot.convert(content, Path("copilot/catalogue/manifest.yml"))


def test_a_web_service() -> None:
    service = convert(WEB)[""]
    assert (service.name, service.not_taken) == ("catalogue", [])
    assert service.settings == {
        "kind": "web",
        "image": "example/catalogue:3",
        "container_port": 8010,
        "entry_point": ["/entry.sh", "--fast"],
        "command": ["gunicorn", "-b", "0.0.0.0:8010"],
        "task_cpu_units": 700,
        "task_memory_mib": 1500,
        "read_only": False,
        "user": "",
        "execute_command": True,
        "log_retention_days": 180,
        "secrets": {"DATABASE": "/shop/database"},
        "environment_variables": {"LOG": "info", "LIMIT": "5", "FAST": "true"},
        "health_check_path": "/status/",
        "health_check_codes": "200,302",
        "health_check_interval_seconds": 10,
        "health_check_timeout_seconds": 4,
        "health_check_healthy_count": 5,
        "health_check_unhealthy_count": 2,
        "health_check_grace_seconds": 60,
        "deregistration_delay_seconds": 30,
        "path_pattern": "/*",
        "min_tasks": 2,
        "max_tasks": 5,
        "scale_in_cooldown_seconds": 90,
        "scale_out_cooldown_seconds": 45,
        "task_cpu_target_percent": 60,
        "requests_per_task": 900,
        "stop_timeout_seconds": 60,
    }


def test_environments_differ_in_what_they_say() -> None:
    own = {"test": {"count": {"spot": 1}, "variables": {"LOG": "debug"}}, "prod": {"memory": 2048}}
    found = convert(WEB, environments=own)
    assert set(found) == {"", "test", "prod"}
    assert found["test"].settings["max_tasks"] == 1
    assert found["test"].settings["environment_variables"] == {"LOG": "debug", "LIMIT": "5", "FAST": "true"}
    assert [line for line in found["test"].changed if line.startswith("count.spot: on_demand_base")]
    assert found["prod"].settings["task_memory_mib"] == 2048
    assert found["prod"].settings | {"task_memory_mib": 1500} == found[""].settings


def test_a_backend_without_a_port_is_a_worker_and_recreate_is_never_two() -> None:
    manifest = """
name: clock
type: Backend Service
image: {location: example/clock}
deployment: {rolling: recreate}
count: 1
"""
    service = convert(manifest)[""]
    assert service.kind == "worker"
    assert {
        "min_healthy_percent": 0,
        "max_percent": 100,
        "min_tasks": 1,
        "max_tasks": 1,
    }.items() <= service.settings.items()
    assert "container_port" not in service.settings


def test_what_has_no_counterpart_is_named() -> None:
    more = {
        "storage": {"volumes": {"x": {"path": "/data", "efs": True}}},
        "publish": {"topics": []},
        "unheard_of": {"a": 1},
    }
    service = convert(WEB, sidecars={"nginx": {"image": "nginx"}}, **more)[""]
    assert {line.partition(":")[0] for line in service.not_taken} == {
        "sidecars",
        "storage.volumes",
        "publish",
        "unheard_of",
    }


def test_what_looks_secret_is_in_no_setting() -> None:
    service = convert(WEB, variables={"API_TOKEN": "t0ps3cret", "PATH_OF": "x"})[""]
    assert "t0ps3cret" not in str(service)
    assert service.settings["secrets"] == {
        **{"DATABASE": "/shop/database", "API_TOKEN": "/{environment}/catalogue/api-token"},
    }
    assert service.to_store == ["/{environment}/catalogue/api-token"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "Static Site"}, "'Static Site' cannot be converted"),
        ({"command": "a && b"}, "what only a shell understands"),
        ({"environments": ["test"]}, "environments must be a mapping"),
        ({"http": {"healthcheck": {"interval": "often"}}}, "must be a duration"),
        ({"image": "nginx"}, "image must be a mapping"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConversionError, match=words):
        convert(WEB, **change)

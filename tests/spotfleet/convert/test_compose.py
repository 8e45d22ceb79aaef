"""Compose files as settings."""

from pathlib import Path

import pytest
import yaml

from spotfleet.convert import compose
from spotfleet.convert.part import ConversionError
from spotfleet.convert.service import Service

TOOLSHED = """
services:
  app:
    build: {context: ., target: app, args: [REV=1]}
    command: gunicorn -b 0.0.0.0:8200 app:app
    ports: ["${PORT:-8200}:8200"]
    volumes: [".:/src", "node_modules:/src/node_modules", "uploads:/data"]
    environment:
      DATABASE_URL: postgres://u:t0ps3cret@db:5432/x
      REDIS_URL: redis://redis:6379/0
      SEARCH: http://finder:9000
      MODE: production
      UNSET:
    depends_on: {migrate: {condition: service_completed_successfully}, db: {condition: service_healthy}}
    healthcheck: {test: curl -f http://localhost:8200/, interval: 15s, retries: 4, start_period: 1m}
    deploy: {replicas: 2, resources: {limits: {cpus: '0.5', memory: 400M}}}
    tmpfs: /run:size=16m
    ulimits: {nofile: {soft: 2048, hard: 4096}}
    shm_size: 64mb
    cap_add: [CAP_CHOWN]
    user: "1000:1000"
    restart: always
    labels: {a: b}
    x-own: 1
  finder: {image: example/finder, expose: [9000]}
  worker: {build: ., command: [celery, worker], stop_grace_period: 1m30s}
  migrate: {build: ., command: python manage.py migrate}
  db: {image: "postgres:16", volumes: ["pg:/var/lib/postgresql/data"]}
  redis: {image: "redis:7"}
  mail: {image: mailhog/mailhog, ports: ["8025:8025"]}
  proxy: {image: "nginx:1", ports: ["80:80"]}
volumes: {pg: {}, uploads: {}, node_modules: {}}
"""


def convert(text: str, *public: str, folder: Path = Path()) -> dict[str, Service]:
    return {one.name: one for one in compose.convert(yaml.safe_load(text), folder / "compose.yaml", public)}


def test_each_service_gets_its_role_and_what_aws_has_is_left_out() -> None:
    kinds = {name: service.kind for name, service in convert(TOOLSHED).items()}
    assert kinds == {
        **{"app": "web", "finder": "internal", "worker": "worker", "migrate": "task"},
        **{"db": "datastore", "redis": "datastore", "mail": "development", "proxy": "proxy"},
    }


def test_what_a_service_needs_is_taken_over() -> None:
    app = convert(TOOLSHED)["app"]
    assert app.settings == {
        "kind": "web",
        "container_port": 8200,
        "path_pattern": "/*",
        "health_check_path": "/",
        "build_context": ".",
        "build_target": "app",
        "build_arguments": {"REV": "1"},
        "command": ["gunicorn", "-b", "0.0.0.0:8200", "app:app"],
        "user": "1000:1000",
        "read_only": False,
        "writable_folders": {"/run": 16},
        "shared_memory_mib": 64,
        "capabilities": ["CHOWN"],
        "open_files_limit": 2048,
        "secrets": {"DATABASE_URL": "/{environment}/app/database-url"},
        "environment_variables": {"MODE": "production"},
        "container_health_command": ["/bin/sh", "-c", "curl -f http://localhost:8200/"],
        "container_health_interval_seconds": 15,
        "container_health_timeout_seconds": 30,
        "container_health_retries": 4,
        "health_check_grace_seconds": 60,
        "task_cpu_units": 512,
        "task_memory_mib": 400,
        "min_tasks": 2,
        "max_tasks": 2,
    }
    assert {line.partition(":")[0] for line in app.not_taken} == {
        *("volumes./data", "environment.REDIS_URL", "environment.SEARCH", "environment.UNSET"),
    }
    assert "t0ps3cret" not in str(app)


def test_a_worker_may_take_its_time_to_stop() -> None:
    worker = convert(TOOLSHED)["worker"]
    assert worker.settings["stop_timeout_seconds"] == 90
    assert "container_port" not in worker.settings


def test_which_of_several_is_public_is_asked() -> None:
    text = "services: {a: {build: a, ports: [80]}, b: {build: b, ports: [8080]}}"
    with pytest.raises(ConversionError, match=r"a, b publish ports: say which .* --web a"):
        convert(text)
    assert {name: one.kind for name, one in convert(text, "b").items()} == {"a": "internal", "b": "web"}
    with pytest.raises(ConversionError, match="--web names c, which is none of: a, b"):
        convert(text, "c")


def test_a_variable_of_a_file_that_leads_to_a_datastore_is_left_out(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_URL=redis://redis:6379\nLOG=info\n")
    text = "services: {app: {image: example/app, env_file: .env}, redis: {image: 'redis:7'}}"
    service = convert(text, folder=tmp_path)["app"]
    assert service.settings["environment_variables"] == {"LOG": "info"}
    assert [line for line in service.not_taken if "REDIS_URL: leads to redis" in line]


def test_neither_defaults_nor_build_arguments_show_what_looks_secret() -> None:
    text = """services:
  app:
    build: {context: ., args: {NPM_TOKEN: t0ps3cret, REV: '1'}}
    environment: {DB_PASSWORD: '${DB_PASSWORD:-t0ps3cret}'}
"""
    service = convert(text)["app"]
    assert service.settings["build_arguments"] == {"REV": "1"}
    assert "t0ps3cret" not in str(service)


def test_a_proxy_alone_is_the_application() -> None:
    assert convert("services: {site: {image: 'nginx:1', ports: ['80:80']}}")["site"].kind == "web"


def test_an_environment_file_is_written_out_without_its_secrets(tmp_path: Path) -> None:
    (tmp_path / ".env.app").write_text("MODE='fast' # sure\nTOKEN=t0ps3cret\nLOG=info\n")
    text = "services: {app: {image: example/app, env_file: .env.app, environment: [LOG=debug, NOTHING]}}"
    service = convert(text, folder=tmp_path)["app"]
    assert service.settings["environment_variables"] == {"LOG": "debug", "MODE": "fast"}
    assert service.settings["secrets"] == {"TOKEN": "/{environment}/app/token"}
    assert "t0ps3cret" not in str(service)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services: {a: [1]}", "services.a must be a mapping"),
        ("services: {a: {image: x, ports: [http]}}", "names no port of the container"),
        ("services: {a: {image: x, command: 'a && b'}}", "what only a shell understands"),
        ("services: {a: {image: x, stop_grace_period: soon}}", "must be a duration"),
        ("include: [b.yaml]\nservices: {a: {image: x}}", "docker compose config"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConversionError, match=words):
        convert(text)

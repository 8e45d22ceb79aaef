"""Compose files as settings, https://docs.docker.com/reference/compose-file/."""

import re
from pathlib import Path
from typing import Any

from spotfleet.convert import compose_roles, images, interpolation, variables, words
from spotfleet.convert.part import ConversionError, Part
from spotfleet.convert.service import Service, kinds

CPU, MEMORY = 256, 512
UNITS_OF_A_VCPU = 1024
# Of a health check where the file says nothing.
HEALTH = {"interval": ("30s", "interval_seconds"), "timeout": ("30s", "timeout_seconds")}
RETRIES = 3
# What says how it runs on one computer, and nothing of what it needs elsewhere.
OF_THIS_COMPUTER = (
    *("container_name", "restart", "networks", "labels", "logging", "links", "profiles", "extra_hosts", "tty", "init"),
    *("stdin_open", "hostname", "domainname", "pull_policy", "develop", "annotations", "attach", "stop_signal"),
)
REFUSED = {
    "privileged": "no task here is privileged",
    "devices": "no device of a machine is given to tasks",
    "network_mode": "no task shares its machine's network here",
    "pid": "is not offered",
    "ipc": "is not offered",
    "sysctls": "is not offered",
    "security_opt": "is not offered",
    "dns": "names are the VPC's here",
    "extends": "run `docker compose config` and convert what that prints",
    "configs": "put the file into the image",
    "gpus": "GPUs are not offered",
    "working_dir": "is the image's own: set WORKDIR in its Dockerfile",
}
CACHES = re.compile(r"node_modules|\.venv|vendor|cache|bundle|\.next|target$|dist$")


def is_compose(content: dict[str, Any]) -> bool:
    """Return whether a file is a Compose file."""
    return isinstance(content.get("services"), dict)


def convert(content: dict[str, Any], file: Path, public: tuple[str, ...]) -> list[Service]:
    """Return the services of a Compose file, those that are not taken over as well.

    `public` names those that the load balancer is to lead to, where several publish ports.
    Raises ConversionError for a file that makes no sense.
    """
    told = {name: _mapping(name, one) for name, one in content["services"].items()}
    found = compose_roles.roles(told, public)
    if content.get("include"):
        raise ConversionError(f"{file.name} includes others: convert what `docker compose config` prints.")
    services = [_service(name, told[name], found[name], file) for name in told]
    gone = [name for name, service in zip(told, services, strict=True) if not service.settings]
    for service in services:
        _leave_out_addresses(service, gone)
    return services


def _leave_out_addresses(service: Service, gone: list[str]) -> None:
    """Leave out variables that lead to what is not taken over: they would lead nowhere."""
    variables_ = service.settings.get("environment_variables", {})
    for variable, value in list(variables_.items()):
        if name := next((name for name in gone if compose_roles.names(value, name)), None):
            del variables_[variable]
            service.taken = [line for line in service.taken if not line.endswith(f".{variable}: environment_variables")]
            service.drop(
                f"environment.{variable}", f"leads to {name}, which is not taken over: set it to what takes its place"
            )


def _mapping(name: str, content: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ConversionError(f"services.{name} must be a mapping.")
    return content


def _service(name: str, content: dict[str, Any], role: str, file: Path) -> Service:
    service = Service(re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-"), role)
    if role in compose_roles.WHY:
        service.drop(name, compose_roles.WHY[role])
        return service
    if role not in kinds():
        service.drop(name, f"would be a service of the kind {role}, which there is not yet")
        return service
    seen: dict[str, str | None] = {}
    part = Part(interpolation.filled(content, seen))
    for variable, default in seen.items():
        became = "its default" if default is not None else "empty, as it has no default: see to it"
        service.change(f"${{{variable}}}", f"is {became}")
    service.set("kind", role, "what the service is")
    _take_ports(service, part)
    _take_image(service, part, file)
    _take_container(service, part)
    _take_variables(service, part, file)
    _take_health(service, part.part("healthcheck"))
    _take_sizes(service, part)
    _take_volumes(service, part)
    _take_order(service, part)
    part.forget(*OF_THIS_COMPUTER)
    for key, words_ in REFUSED.items():
        if part.take(key):
            service.drop(key, words_)
    for place in part.left():
        if not place.startswith("x-"):
            service.drop(place, "has no counterpart here")
    return service


def _take_ports(service: Service, part: Part) -> None:
    ports = [_port(one) for one in part.take("ports") or []]
    exposed = [_port(one) for one in part.take("expose") or []]
    found = list(dict.fromkeys(ports + exposed))
    if not found or service.kind in ("worker", "task"):
        return
    service.set("container_port", found[0], "ports" if ports else "expose")
    for port in found[1:]:
        service.drop("ports", f"{port} would be of the setting further_ports, which there is not yet")
    if service.kind == "internal":
        service.set("discovery_name", service.name, "its name")
    if service.kind == "web":
        service.set("path_pattern", "/*", "the paths")
        service.set("health_check_path", "/", "the load balancer's health check")
        service.change(
            "the load balancer", "health_check_path / and path_pattern /* are assumed; any page that answers 200"
        )


def _port(told: object) -> int:
    """Return the container's port of `8080:80`, `127.0.0.1:8080:80/tcp`, 80 or {target: 80}."""
    if isinstance(told, dict):
        told = told.get("target", "")
    number = str(told).rpartition(":")[2].partition("/")[0].partition("-")[0]
    if not number.isdigit():
        raise ConversionError(f"ports has {told!r}, which names no port of the container.")
    return int(number)


def _take_image(service: Service, part: Part, file: Path) -> None:
    build, image = part.take("build"), part.take("image")
    if build:
        told = Part({"context": build} if isinstance(build, str) else build, "build")
        context = str(told.take("context", "."))
        values: dict[str, Any] = {
            "context": context,
            "dockerfile": str(Path(context) / told.take("dockerfile", "Dockerfile")),
        }
        values |= {key: told.take(key) for key in ("target", "args") if key in told}
        told.forget("cache_from", "cache_to", "tags", "platforms", "network", "pull", "labels", "no_cache")
        images.take_build(service, values, "build", file.parent)
        for place in told.left():
            service.drop(place, "has no counterpart here")
    elif image:
        service.set("image", str(image), "image")
    images.take_platform(service, part.take("platform"), "platform")


def _take_container(service: Service, part: Part) -> None:
    for key, setting in (("command", "command"), ("entrypoint", "entry_point")):
        if value := part.take(key):
            service.set(setting, words.command(value, key), key)
    if user := part.take("user"):
        service.set("user", str(user), "user")
    images.take_root(service, bool(part.take("read_only", False)), "read_only")
    folders = part.take("tmpfs") or []
    sizes = dict(_folder(str(one)) for one in (folders if isinstance(folders, list) else [folders]))
    if sizes:
        service.set("writable_folders", sizes, "tmpfs")
    if size := part.take("shm_size"):
        service.set("shared_memory_mib", round(words.mib(size, "shm_size")), "shm_size")
    if added := part.take("cap_add"):
        service.set("capabilities", [str(one).removeprefix("CAP_") for one in added], "cap_add")
    part.forget("cap_drop")
    for name, limit in (part.take("ulimits") or {}).items():
        if name == "nofile":
            service.set("open_files_limit", int(limit["soft"] if isinstance(limit, dict) else limit), "ulimits.nofile")
        else:
            service.drop(f"ulimits.{name}", "only the limit of open files can be set")
    if period := part.take("stop_grace_period"):
        service.within("stop_timeout_seconds", words.seconds(period, "stop_grace_period"), "stop_grace_period")


def _folder(told: str) -> tuple[str, int]:
    path, _, options = told.partition(":")
    size = next((one.partition("=")[2] for one in options.split(",") if one.startswith("size=")), "64m")
    return path, max(1, round(words.mib(size, "tmpfs")))


def _take_variables(service: Service, part: Part, file: Path) -> None:
    told = part.take("environment") or {}
    if isinstance(told, list):
        told = {name: value if equals else None for name, equals, value in (str(one).partition("=") for one in told)}
    variables.take(service, told, "environment")
    files = part.take("env_file") or []
    for one in files if isinstance(files, list) else [files]:
        name = one.get("path", "") if isinstance(one, dict) else str(one)
        variables.take_file(service, file.parent / name, "env_file", quoted=True)
    for one in part.take("secrets") or []:
        name = one.get("source", "") if isinstance(one, dict) else str(one)
        service.drop(f"secrets.{name}", "is a file there; here secrets are variables: the setting secrets")


def _take_health(service: Service, health: Part) -> None:
    test = health.take("test")
    if health.take("disable") or test in (None, "NONE", ["NONE"]):
        health.forget("interval", "timeout", "retries", "start_period", "start_interval")
        return
    service.set("container_health_command", words.health_command(test), "healthcheck.test")
    for key, (default, setting) in HEALTH.items():
        seconds = words.seconds(health.take(key, default), f"healthcheck.{key}")
        service.within(f"container_health_{setting}", seconds, f"healthcheck.{key}")
    service.within("container_health_retries", int(health.take("retries", RETRIES)), "healthcheck.retries")
    if period := health.take("start_period"):
        seconds = words.seconds(period, "healthcheck.start_period")
        service.within("health_check_grace_seconds", seconds, "healthcheck.start_period")
    health.forget("start_interval")


def _take_sizes(service: Service, part: Part) -> None:
    deploy = part.part("deploy")
    limits = deploy.part("resources").part("limits")
    cpus = limits.take("cpus") or part.take("cpus")
    memory = limits.take("memory") or part.take("mem_limit")
    service.within("task_cpu_units", float(cpus) * UNITS_OF_A_VCPU if cpus else CPU, "deploy.resources.limits.cpus")
    service.within(
        "task_memory_mib", words.mib(memory, "memory") if memory else MEMORY, "deploy.resources.limits.memory"
    )
    if not (cpus and memory):
        service.change("sizes", f"{CPU} CPU units and {MEMORY} MiB are assumed where the file says nothing")
    replicas = int(deploy.take("replicas") or part.take("scale") or 1)
    service.set("min_tasks", replicas, "deploy.replicas")
    service.set("max_tasks", replicas, "deploy.replicas")
    deploy.part("resources").forget("reservations")
    deploy.forget("restart_policy", "update_config", "rollback_config", "placement", "labels", "mode", "endpoint_mode")
    part.forget("mem_reservation", "memswap_limit", "cpu_shares")


def _take_volumes(service: Service, part: Part) -> None:
    for one in part.take("volumes") or []:
        source, target = (one.get("source", ""), one.get("target", "")) if isinstance(one, dict) else _volume(str(one))
        if source.startswith((".", "/", "~", "$")):
            service.change(
                f"volumes.{target}", "is a folder of this computer, for development: what it holds is in the image"
            )
        elif CACHES.search(f"{source} {target}"):
            service.change(f"volumes.{target}", "keeps what can be made again: left out")
        else:
            service.drop(
                f"volumes.{target}", "what must stay would be the setting shared_folders, which there is not yet"
            )


def _volume(told: str) -> tuple[str, str]:
    source, _, rest = told.partition(":")
    return (source, rest.partition(":")[0]) if rest else ("", source)


def _take_order(service: Service, part: Part) -> None:
    told = part.take("depends_on") or []
    if told:
        service.change("depends_on", f"{', '.join(told)}: clients must try again until what they call answers")

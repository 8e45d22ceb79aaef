"""AWS Copilot manifests as settings, https://aws.github.io/copilot-cli/docs/manifest/overview/."""

from pathlib import Path
from typing import Any

from spotfleet.convert import images, variables, words
from spotfleet.convert.part import ConversionError, Part
from spotfleet.convert.service import Service, kinds

TYPES = {
    "Load Balanced Web Service": "web",
    "Request-Driven Web Service": "web",
    "Backend Service": "internal",
    "Worker Service": "worker",
    "Scheduled Job": "job",
}
# What a manifest means where it says nothing, by its documentation.
CPU, MEMORY = 256, 512
PATH, CODES, INTERVAL, TIMEOUT, HEALTHY, UNHEALTHY, GRACE = "/", "200", 30, 5, 5, 2, 60
DEREGISTRATION = 60
CONTAINER_HEALTH = {"interval": 10, "timeout": 5, "retries": 2}
EXCLUSIVE = {"range", "spot"}
# Kinds of count that scaling here knows.
TARGETS = {
    "cpu_percentage": "task_cpu_target_percent",
    "memory_percentage": "task_memory_target_percent",
    "requests": "requests_per_task",
}
NOT_TARGETS = {
    "response_time": "scaling by response time is not offered: cpu_percentage or requests",
    "queue_delay": "would be the setting messages_per_task, which there is not yet",
}
# Left out on purpose, and why.
NOT_OFFERED = {
    "sidecars": "several containers in a task are not taken over yet; their `localhost` would be a name here",
    "publish": "topics and queues are stacks of your own; give their addresses as variables",
    "subscribe": "topics and queues are stacks of your own; give their addresses as variables",
    "nlb": "there is no network load balancer here",
    "observability": "there is no tracing sidecar here; metrics and logs are CloudWatch's",
    "env_addons": "templates beside the manifest are stacks of your own in the environment's folder",
}


def is_manifest(content: dict[str, Any]) -> bool:
    """Return whether a file is a Copilot manifest."""
    return "type" in content and "name" in content


def convert(content: dict[str, Any], file: Path) -> dict[str, Service]:
    """Return the service of a manifest: for each environment that it names, and, under '', for all others.

    Raises ConversionError for a manifest that makes no sense.
    """
    overrides = content.get("environments") or {}
    if not isinstance(overrides, dict):
        raise ConversionError(f"{file.name}: environments must be a mapping.")
    base = {key: value for key, value in content.items() if key != "environments"}
    return {str(name): _service(_merged(base, own or {}), file) for name, own in overrides.items()} | {
        "": _service(base, file)
    }


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with what an environment says otherwise: maps are merged, all else is replaced."""
    merged = dict(base)
    # Each is another way to say how many tasks there are.
    for key in EXCLUSIVE if EXCLUSIVE & own.keys() else ():
        merged.pop(key, None)
    for key, value in own.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _service(content: dict[str, Any], file: Path) -> Service:
    manifest = Part(content)
    told = str(manifest.take("type"))
    if told not in TYPES:
        raise ConversionError(f"{file.name}: {told!r} cannot be converted; what can: {', '.join(TYPES)}.")
    image = manifest.part("image")
    port = image.take("port")
    service = Service(str(manifest.take("name")), _kind(TYPES[told], port, manifest))
    if service.kind not in kinds():
        service.drop("type", f"would be a service of the kind {service.kind}, which there is not yet")
        return service
    service.set("kind", service.kind, "type")
    _take_image(service, image, file)
    if port is not None and service.kind != "worker":
        service.set("container_port", port, "image.port")
    _take_container(service, manifest)
    variables.take_secrets(service, manifest.take("secrets") or {}, "secrets")
    variables.take(service, manifest.take("variables") or {}, "variables")
    if name := manifest.take("env_file"):
        variables.take_file(service, file.parent / str(name), "env_file")
    _take_http(service, manifest.part("http"))
    _take_count(service, manifest)
    _take_deployment(service, manifest)
    _take_surroundings(service, manifest)
    for place in manifest.left():
        service.drop(place, "has no counterpart here")
    return service


def _kind(kind: str, port: object, manifest: Part) -> str:
    if kind == "internal" and port is None:
        return "worker"
    if kind == "job" and str(manifest.part("on").take("schedule", "none")) == "none":
        return "task"
    return kind


def _take_image(service: Service, image: Part, file: Path) -> None:
    if location := image.take("location"):
        service.set("image", str(location), "image.location")
    build = image.take("build")
    # Copilot's paths begin at the root of the repository, and manifests are in copilot/<service>/.
    images.take_build(service, build, "image.build", file.parent.parent.parent)
    _take_container_health(service, image.part("healthcheck"))
    image.forget("labels", "credentials")
    if image.take("depends_on"):
        service.drop("image.depends_on", "there is one container in a task here")


def _take_container_health(service: Service, health: Part) -> None:
    command = health.take("command")
    if command is None:
        return
    # Copilot hands a text to a shell of the container.
    service.set("container_health_command", words.health_command(command), health.place("command"))
    for key, default in CONTAINER_HEALTH.items():
        value = health.take(key, default)
        unit = "" if key == "retries" else "_seconds"
        number = words.seconds(value, health.place(key))
        service.within(f"container_health_{key}{unit}", number, health.place(key))
    if period := health.take("start_period"):
        seconds = words.seconds(period, health.place("start_period"))
        service.within("health_check_grace_seconds", seconds, health.place("start_period"))


def _take_container(service: Service, manifest: Part) -> None:
    for key, setting in (("command", "command"), ("entrypoint", "entry_point")):
        if value := manifest.take(key):
            service.set(setting, words.command(value, key), key)
    service.within("task_cpu_units", int(manifest.take("cpu", CPU)), "cpu")
    service.within("task_memory_mib", int(manifest.take("memory", MEMORY)), "memory")
    images.take_platform(service, manifest.take("platform"), "platform")
    storage = manifest.part("storage")
    images.take_root(service, bool(storage.take("readonly_fs", False)), "storage.readonly_fs")
    if storage.take("ephemeral"):
        service.change("storage.ephemeral", "the disk of the machine: root_volume_gib, for all its tasks together")
    if storage.take("volumes"):
        service.drop("storage.volumes", "would be the setting shared_folders, which there is not yet")
    if manifest.take("exec"):
        service.set("execute_command", True, "exec")
    logging = manifest.part("logging")
    if days := logging.take("retention"):
        service.set("log_retention_days", days, "logging.retention")


def _take_http(service: Service, http: Part) -> None:
    if service.kind != "web":
        return
    _take_health(service, http)
    delay = words.seconds(http.take("deregistration_delay", DEREGISTRATION), "http.deregistration_delay")
    service.within("deregistration_delay_seconds", delay, "http.deregistration_delay")
    _take_path(service, str(http.take("path", "/")))
    aliases = http.take("alias") or []
    names = [
        one["name"] if isinstance(one, dict) else one for one in (aliases if isinstance(aliases, list) else [aliases])
    ]
    if names:
        service.set("host_names", names, "http.alias")
        service.change("http.alias", "certificate and records are of domain_name and hosted_zone_id, for one name")
    http.forget("hosted_zone", "redirect_to_https")
    if (version := str(http.take("version", "http1"))) != "http1":
        service.drop("http.version", f"{version}: the load balancer speaks HTTP/1.1 with tasks")
    if http.take("stickiness"):
        service.drop("http.stickiness", "would be the setting stickiness_seconds, which there is not yet")
    if addresses := http.take("allowed_source_ips"):
        service.drop("http.allowed_source_ips", f"{len(addresses)}: allowed_addresses is of the whole load balancer")
    if container := http.take("target_container"):
        service.drop("http.target_container", f"{container} is a further container of the task")


def _take_health(service: Service, http: Part) -> None:
    told = http.take("healthcheck")
    check = http.adopt({"path": told} if isinstance(told, str) else told, "healthcheck")
    service.set("health_check_path", str(check.take("path", PATH)), check.place("path"))
    codes = str(check.take("success_codes", CODES))
    if codes != CODES or "health_check_codes" in service.settings:
        service.set("health_check_codes", codes, check.place("success_codes"))
    numbers = {
        "interval": ("health_check_interval_seconds", INTERVAL),
        "timeout": ("health_check_timeout_seconds", TIMEOUT),
        "healthy_threshold": ("health_check_healthy_count", HEALTHY),
        "unhealthy_threshold": ("health_check_unhealthy_count", UNHEALTHY),
        "grace_period": ("health_check_grace_seconds", GRACE),
    }
    for key, (setting, default) in numbers.items():
        service.within(setting, words.seconds(check.take(key, default), check.place(key)), check.place(key))


def _take_path(service: Service, path: str) -> None:
    if path == "/":
        service.set("path_pattern", "/*", "http.path")
    else:
        service.set("path_pattern", f"/{path.strip('/')}*", "http.path")
        service.change(
            "http.path", f"/{path.strip('/')}* as one pattern, which also takes longer names of that beginning"
        )


def _take_count(service: Service, manifest: Part) -> None:
    told = manifest.take("count", 1)
    if not isinstance(told, dict):
        if int(told) == 0:
            service.change("count", "no task: min_tasks 0 and max_tasks 1, scaled up by hand or by a schedule")
        service.set("min_tasks", int(told), "count")
        service.set("max_tasks", max(1, int(told)), "count")
        return
    count = manifest.adopt(told, "count")
    lowest, highest, on_spot = _limits(count)
    if on_spot:
        service.change(on_spot, "on_demand_base of the environment says how many machines Spot cannot take, for all")
    service.set("min_tasks", lowest, "count.range")
    service.set("max_tasks", highest, "count.range")
    _take_targets(service, count)


def _limits(count: Part) -> tuple[int, int, str]:
    """Return the fewest and the most tasks, and the place that wants some of them on Spot, if one does."""
    if (spot := count.take("spot")) is not None:
        return int(spot), int(spot), count.place("spot")
    told = count.take("range", "1-1")
    if isinstance(told, dict):
        limits = count.adopt(told, "range")
        on_spot = limits.place("spot_from") if limits.take("spot_from") else ""
        return int(limits.take("min", 1)), int(limits.take("max", 1)), on_spot
    lowest, _, highest = str(told).partition("-")
    return int(lowest), int(highest or lowest), ""


def _take_targets(service: Service, count: Part) -> None:
    for key, setting in TARGETS.items():
        value = count.take(key)
        if isinstance(value, dict):
            target = count.adopt(value, key)
            _take_cooldown(service, target.part("cooldown"))
            value = target.take("value")
        if value is not None:
            service.set(setting, int(value), count.place(key))
    _take_cooldown(service, count.part("cooldown"))
    for key, words_ in NOT_TARGETS.items():
        if count.take(key) is not None:
            service.drop(count.place(key), words_)


def _take_cooldown(service: Service, cooldown: Part) -> None:
    for key, setting in (("in", "scale_in_cooldown_seconds"), ("out", "scale_out_cooldown_seconds")):
        # YAML 1.1 knows neither as anything but text.
        if (value := cooldown.take(key)) is not None:
            service.within(setting, words.seconds(value, cooldown.place(key)), cooldown.place(key))


def _take_deployment(service: Service, manifest: Part) -> None:
    deployment = manifest.part("deployment")
    rolling = deployment.take("rolling", "default")
    if rolling == "recreate":
        service.set("min_healthy_percent", 0, "deployment.rolling")
        service.set("max_percent", 100, "deployment.rolling")
    if deployment.take("rollback_alarms"):
        service.change(
            "deployment.rollback_alarms", "deployment_alarms: errors and slowness that this project measures"
        )
        service.set("deployment_alarms", True, "deployment.rollback_alarms")


def _take_surroundings(service: Service, manifest: Part) -> None:
    network = manifest.part("network")
    vpc = network.part("vpc")
    if vpc.take("placement", "public") != "private":
        service.change("network.vpc.placement", "tasks are always in private subnets, behind the NAT or endpoints")
    groups = vpc.take("security_groups") or []
    if isinstance(groups, dict):
        groups = groups.get("groups") or []
    ids = [group for group in groups if isinstance(group, str)]
    if ids:
        service.set_of_environment("machine_security_group_ids", ids, "network.vpc.security_groups")
    if len(ids) < len(groups):
        service.drop("network.vpc.security_groups", "outputs of other stacks are not looked up: give the groups' ids")
    if network.take("connect") and service.kind in ("web", "internal"):
        service.set("discovery_name", service.name, "network.connect")
    for key in ("retries", "timeout"):
        if manifest.take(key) is not None:
            service.drop(key, "is of jobs, which there are not yet")
    for override in manifest.take("taskdef_overrides") or []:
        _take_override(service, manifest.adopt(override, "taskdef_overrides"))
    for key, words_ in NOT_OFFERED.items():
        if manifest.take(key):
            service.drop(key, words_)


def _take_override(service: Service, override: Part) -> None:
    path, value = str(override.take("path", "")), override.take("value")
    if path.rpartition(".")[2] == "StopTimeout":
        service.within("stop_timeout_seconds", words.seconds(value, "StopTimeout"), "taskdef_overrides.StopTimeout")
    else:
        service.drop(f"taskdef_overrides.{path}", "the template is yours to edit: templates/service.yaml.j2")

"""ECS task definitions as settings, as `aws ecs describe-task-definition` or a deploy action has them.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html
"""

import re
from typing import Any

from spotfleet.convert import images, variables, words
from spotfleet.convert.part import ConversionError, Part
from spotfleet.convert.service import Service

# What ECS itself writes into a registered definition.
OF_THE_REGISTRATION = (
    *("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities", "registeredAt"),
    *("registeredBy", "deregisteredAt", "tags", "requiresCompatibilities", "enableFaultInjection"),
)
UNITS_OF_A_VCPU = 1024
CPU, MEMORY = 256, 512
# A health check of a container where it says nothing.
HEALTH = {"interval": 30, "timeout": 5, "retries": 3}
PLACEHOLDER = re.compile(r"^<.*>$|^\$\{?|^\{\{")
NOT_OFFERED = {
    "privileged": "no task here is privileged",
    "links": "containers of other tasks are reached by discovery_name",
    "dependsOn": "there is one container in a task here",
    "volumesFrom": "there is one container in a task here",
    "mountPoints": "folders that stay would be the setting shared_folders, which there is not yet",
    "extraHosts": "names are DNS's here",
    "dnsServers": "names are the VPC's here",
    "dnsSearchDomains": "names are the VPC's here",
    "dockerSecurityOptions": "is not offered",
    "systemControls": "is not offered",
    "firelensConfiguration": "logs go to CloudWatch",
    "resourceRequirements": "GPUs are not offered",
    "repositoryCredentials": "images come from ECR or a public registry",
    "environmentFiles": "copy their lines to environment_variables",
    "hostname": "is the container's id in bridge mode",
    "workingDirectory": "is the image's own: set WORKDIR in its Dockerfile",
}


def is_definition(content: dict[str, Any]) -> bool:
    """Return whether a file is a task definition."""
    return "containerDefinitions" in content or "containerDefinitions" in (content.get("taskDefinition") or {})


def convert(content: dict[str, Any]) -> Service:
    """Return the service that a task definition describes.

    Raises ConversionError for one that makes no sense.
    """
    definition = Part(content.get("taskDefinition") or content)
    containers = definition.take("containerDefinitions") or []
    if not containers or not all(isinstance(one, dict) and one.get("name") for one in containers):
        raise ConversionError("containerDefinitions must be a list of containers that have names.")
    main = _main(containers)
    container = definition.adopt(main, main["name"])
    mappings = container.take("portMappings") or []
    service = Service(_name(str(definition.take("family", main["name"]))), "web" if mappings else "worker")
    service.set("kind", service.kind, f"{main['name']}.portMappings")
    _take_ports(service, mappings, container.place("portMappings"))
    _take_container(service, container)
    _take_health(service, container.part("healthCheck"))
    _take_linux(service, container)
    _take_sizes(service, definition, container)
    _take_task(service, definition)
    for other in containers:
        if other is not main:
            service.drop(other["name"], "several containers in a task are not taken over yet")
    service.set("min_tasks", 1, "one task")
    service.set("max_tasks", 1, "one task")
    service.change("tasks", "how many is not in a task definition: min_tasks and max_tasks are 1")
    for place in definition.left():
        service.drop(place, "has no counterpart here")
    return service


def _main(containers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the container that the task is about: the first one with a port, or else the first essential one."""
    with_ports = [one for one in containers if one.get("portMappings")]
    essential = [one for one in containers if one.get("essential", True)]
    return (with_ports or essential or containers)[0]


def _name(family: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", family.lower()).strip("-") or "service"


def _take_ports(service: Service, mappings: list[dict[str, Any]], place: str) -> None:
    if not mappings:
        return
    service.set("container_port", int(mappings[0]["containerPort"]), f"{place}.containerPort")
    service.set("health_check_path", "/", "the load balancer's health check")
    service.change(
        "the load balancer", "is not in a task definition: health_check_path / and path_pattern /* are assumed"
    )
    service.set("path_pattern", "/*", "the load balancer's paths")
    if mappings[0].get("hostPort", 0) not in (0, mappings[0]["containerPort"]):
        service.change(f"{place}.hostPort", "ports of machines are chosen by Docker here")
    if mappings[0].get("protocol", "tcp") != "tcp":
        service.drop(f"{place}.protocol", "only TCP is served")
    for mapping in mappings[1:]:
        service.drop(place, f"{mapping['containerPort']} would be of the setting further_ports, which there is not yet")


def _take_container(service: Service, container: Part) -> None:
    container.forget("name", "essential", "interactive", "pseudoTerminal", "disableNetworking", "dockerLabels")
    container.forget("versionConsistency", "credentialSpecs", "restartPolicy", "startTimeout")
    image = str(container.take("image", ""))
    if not image or PLACEHOLDER.search(image):
        service.change(container.place("image"), "is put in by a deployment: the setting image, or a Dockerfile here")
    else:
        service.set("image", image, container.place("image"))
    for key, setting in (("command", "command"), ("entryPoint", "entry_point")):
        if value := container.take(key):
            service.set(setting, words.command(value, container.place(key)), container.place(key))
    secrets = {one["name"]: one["valueFrom"] for one in container.take("secrets") or []}
    variables.take_secrets(service, secrets, container.place("secrets"))
    told = {one["name"]: one.get("value") for one in container.take("environment") or []}
    variables.take(service, told, container.place("environment"))
    if seconds := container.take("stopTimeout"):
        service.within("stop_timeout_seconds", int(seconds), container.place("stopTimeout"))
    logs = container.part("logConfiguration")
    if (driver := logs.take("logDriver", "awslogs")) != "awslogs":
        service.drop(logs.place("logDriver"), f"{driver}: logs go to CloudWatch")
    logs.forget("options", "secretOptions")
    for key, words_ in NOT_OFFERED.items():
        if container.take(key):
            service.drop(container.place(key), words_)


def _take_health(service: Service, health: Part) -> None:
    command = health.take("command")
    if not command:
        return
    service.set("container_health_command", words.health_command(command), health.place("command"))
    for key, default in HEALTH.items():
        unit = "" if key == "retries" else "_seconds"
        service.within(f"container_health_{key}{unit}", int(health.take(key, default)), health.place(key))
    if period := health.take("startPeriod"):
        service.within("health_check_grace_seconds", int(period), health.place("startPeriod"))


def _take_linux(service: Service, container: Part) -> None:
    if user := container.take("user"):
        service.set("user", str(user), container.place("user"))
    images.take_root(service, bool(container.take("readonlyRootFilesystem", False)), container.place("root"))
    linux = container.part("linuxParameters")
    linux.forget("initProcessEnabled", "swappiness", "maxSwap")
    capabilities = linux.part("capabilities")
    if added := capabilities.take("add"):
        service.set("capabilities", [str(one) for one in added], capabilities.place("add"))
    capabilities.forget("drop")
    if size := linux.take("sharedMemorySize"):
        service.set("shared_memory_mib", int(size), linux.place("sharedMemorySize"))
    if folders := linux.take("tmpfs"):
        sizes = {str(one["containerPath"]): int(one["size"]) for one in folders}
        service.set("writable_folders", sizes, linux.place("tmpfs"))
    for limit in container.take("ulimits") or []:
        place = container.place(f"ulimits.{limit.get('name')}")
        if limit.get("name") == "nofile":
            service.set("open_files_limit", int(limit["softLimit"]), place)
        else:
            service.drop(place, "only the limit of open files can be set")


def _take_sizes(service: Service, definition: Part, container: Part) -> None:
    own_cpu, task_cpu = container.take("cpu"), definition.take("cpu")
    service.within("task_cpu_units", _units(task_cpu or own_cpu or CPU), "cpu")
    own, reserved, task = container.take("memory"), container.take("memoryReservation"), definition.take("memory")
    if task is None and own is None and reserved:
        service.change(
            "memoryReservation", "is the limit here, above which a task ends: raise task_memory_mib if need be"
        )
    service.within("task_memory_mib", _mib(task or own or reserved or MEMORY), "memory")


def _units(told: object) -> int:
    number = re.match(r"[\d.]+", str(told))
    if not number:
        raise ConversionError(f"cpu must be a number of units, not {str(told)!r}.")
    return round(float(number[0]) * (UNITS_OF_A_VCPU if "vcpu" in str(told).lower() else 1))


def _mib(told: object) -> int:
    text = str(told)
    return int(text) if text.isdigit() else round(words.mib(text, "memory"))


def _take_task(service: Service, definition: Part) -> None:
    definition.forget(*OF_THE_REGISTRATION)
    mode = definition.take("networkMode", "bridge")
    if mode == "host":
        service.drop("networkMode", "host: no task shares its machine's network here")
    elif mode == "awsvpc":
        service.change("networkMode", "awsvpc: tasks of a machine share its security groups here, in bridge mode")
    platform = definition.part("runtimePlatform")
    images.take_platform(service, str(platform.take("cpuArchitecture", "X86_64")).lower(), "runtimePlatform")
    if str(platform.take("operatingSystemFamily", "LINUX")).upper() != "LINUX":
        service.drop("runtimePlatform", "only Linux runs here")
    definition.forget("executionRoleArn")
    if role := definition.take("taskRoleArn"):
        service.change("taskRoleArn", f"each service has a role of its own: name {role}'s policies in task_policy_arns")
    for volume in definition.take("volumes") or []:
        service.drop(f"volumes.{volume.get('name')}", "would be of the setting shared_folders, which there is not yet")
    if definition.take("placementConstraints"):
        service.drop("placementConstraints", "task_placement is what there is")
    if definition.take("ephemeralStorage"):
        service.change("ephemeralStorage", "the disk of the machine: root_volume_gib, for all its tasks together")
    for key in ("pidMode", "ipcMode", "proxyConfiguration", "inferenceAccelerators"):
        if definition.take(key):
            service.drop(key, "is not offered")

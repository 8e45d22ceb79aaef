"""What keeps a container of the embedded AWS inside: no task definition can give it this machine.

On AWS a container with the machine's folders, devices or namespaces gets a machine that was rented for it. Here it
would get the user's own. Asked twice: when a task definition is registered, in the words of its author, and again of
what Docker is told to start, where only what is named below passes.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# What Docker gives a container that asks for nothing.
# https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
DEFAULT_CAPABILITIES = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
NETWORK_MODES = {None, "bridge", "awsvpc", "none"}
PROCESS_MODES = {None, "task"}
SHARED_MEMORY_MODES = {None, "task", "none"}
# Options that take rights away; others (seccomp=unconfined, label=disable) give some.
SECURITY_OPTIONS = {"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"}

# Limits that let a process go before those of this machine.
PRIORITIES = {"nice", "rtprio"}

# What a task links to are containers of its own, by the ids that Docker gave them: a name could be anybody's.
CONTAINER_ID = re.compile("[0-9a-f]{12}")

# The arguments of Docker's run that describe a container and its limits.
HARMLESS_ARGUMENTS = {
    *("cap_drop", "command", "cpu_period", "cpu_quota", "cpu_shares", "detach", "dns", "entrypoint", "environment"),
    *("extra_hosts", "healthcheck", "image", "init", "labels", "mem_limit", "mem_reservation", "name", "platform"),
    *("ports", "read_only", "shm_size", "stop_signal", "tmpfs", "ulimits", "user", "working_dir"),
}


def problems_of_definition(definition: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of a task definition would give a task this machine; names of fields count in any case."""
    task = _by_lower_name(definition)
    modes = {"networkMode": NETWORK_MODES, "pidMode": PROCESS_MODES, "ipcMode": SHARED_MEMORY_MODES}
    for field, allowed in modes.items():
        mode = task.get(field.lower())
        if (mode or None) not in allowed:
            yield f"{field} {mode}"
    for volume in map(_by_lower_name, task.get("volumes") or []):
        if _by_lower_name(volume.get("host") or {}).get("sourcepath"):
            yield f"the folder of the machine in the volume {volume.get('name')}"
        if volume.get("dockervolumeconfiguration"):
            yield f"the Docker volume {volume.get('name')}"
    for container in map(_by_lower_name, task.get("containerdefinitions") or []):
        for problem in _problems_of_container(container):
            yield f"{problem} of the container {container.get('name')}"


def _problems_of_container(container: Mapping[str, Any]) -> Iterator[str]:
    if _is_true(container.get("privileged")):
        yield "privileged"
    linux = _by_lower_name(container.get("linuxparameters") or {})
    if linux.get("devices"):
        yield "devices"
    added = _by_lower_name(linux.get("capabilities") or {}).get("add") or []
    if beyond := _beyond_default(added):
        yield f"the capabilities {', '.join(beyond)}"
    limits = {str(_by_lower_name(item).get("name")).lower() for item in container.get("ulimits") or []}
    if beyond := sorted(limits & PRIORITIES):
        yield f"the ulimits {', '.join(beyond)}"
    if options := [option for option in container.get("dockersecurityoptions") or [] if option not in SECURITY_OPTIONS]:
        yield f"dockerSecurityOptions {', '.join(map(str, options))}"


def require_contained(arguments: Mapping[str, Any]) -> None:
    """Raise ValueError when what Docker is told to start would reach this machine, or is not known to stay inside."""
    for name, value in arguments.items():
        if value and name not in HARMLESS_ARGUMENTS and not _is_contained(name, value):
            raise ValueError(
                f"A container of the embedded AWS does not get {name} {value!r}: it would reach this machine"
            )


def _is_contained(name: str, value: Any) -> bool:  # noqa: ANN401  # whatever Docker takes
    match name:
        case "links":
            return all(CONTAINER_ID.fullmatch(container) for container, _alias in value)
        case "networking_config":
            return isinstance(value, dict) and all(map(_only_links, value.values()))
        case "cap_add":
            return not _beyond_default(value)
        case "network":
            return isinstance(value, str) and value != "host" and not value.startswith("container:")
        case "security_opt":
            return set(value) <= SECURITY_OPTIONS
    return False


def _only_links(endpoint: Mapping[str, Any] | None) -> bool:
    """Return whether an endpoint has links to containers by their ids, and no address or name of its own choice."""
    if endpoint is None or endpoint.keys() != {"Links"}:
        return False
    return all(CONTAINER_ID.fullmatch(link.partition(":")[0]) for link in endpoint["Links"])


def _beyond_default(capabilities: list[Any]) -> list[str]:
    names = [str(capability).upper().removeprefix("CAP_") for capability in capabilities]
    return sorted(set(names) - DEFAULT_CAPABILITIES)


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"


def _by_lower_name(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields by name in lower case: the API has privileged, a template Privileged; MiniStack reads both."""
    return {name.lower(): value for name, value in fields.items()}

"""What Docker may be told to start: a container with limits, and nothing of this machine."""

from typing import Any

import docker.models.containers
import pytest

from spotfleet.local.emulator import containment

# What the tasks of this project's own templates are started with.
USUAL: dict[str, Any] = {
    "detach": True,
    "environment": {"A": "b"},
    "ports": {"5000/tcp": ("127.0.0.1", None)},
    "name": "web",
    "labels": {"a": "b"},
    "command": ["python3"],
    "privileged": False,
    "network": "bridge",
    "extra_hosts": {"host.docker.internal": "host-gateway"},
    "platform": "linux/amd64",
    "links": [("0" * 12, "cache")],
    "networking_config": {"tasks": {"Links": [f"{'0' * 12}:cache"]}},
    "cap_drop": ["ALL"],
    "cap_add": ["NET_BIND_SERVICE"],
    "mem_limit": 1,
    "read_only": True,
    "tmpfs": {"/tmp": "rw"},  # noqa: S108  # of the container
    "user": "65532",
    "security_opt": ["no-new-privileges"],
}


def test_a_usual_task_is_started() -> None:
    containment.require_contained(USUAL)


@pytest.mark.parametrize(
    "argument",
    [
        {"privileged": True},
        {"volumes": ["/:/host:rw"]},
        {"volumes": {"/var/run/docker.sock": {"bind": "/s"}}},
        {"mounts": [{"Type": "bind", "Source": "/"}]},
        {"volumes_from": ["other"]},
        {"links": [("somebodys-database", "db")]},
        {"networking_config": {"tasks": {"Links": ["somebodys-database:db"]}}},
        {"networking_config": {"tasks": {"Links": [], "IPAMConfig": {"IPv4Address": "172.18.0.1"}}}},
        {"networking_config": {"tasks": {"Aliases": ["metadata"]}}},
        {"networking_config": {"tasks": None}},
        {"network_mode": "host"},
        {"network": "host"},
        {"network": "container:other"},
        {"pid_mode": "host"},
        {"ipc_mode": "host"},
        {"ipc_mode": "container:other"},
        {"userns_mode": "host"},
        {"uts_mode": "host"},
        {"cgroupns": "host"},
        {"cap_add": ["SYS_ADMIN"]},
        {"cap_add": ["ALL"]},
        {"cap_add": ["cap_net_admin"]},
        {"devices": ["/dev/sda"]},
        {"device_requests": ["all the GPUs"]},
        {"device_cgroup_rules": ["a *:* rwm"]},
        {"security_opt": ["seccomp=unconfined"]},
        {"security_opt": ["no-new-privileges:false"]},
        {"sysctls": {"kernel.shm_rmid_forced": "1"}},
        {"cgroup_parent": "/"},
        {"runtime": "other"},
        {"oom_score_adj": -1000},
    ],
    ids=str,
)
def test_nothing_of_this_machine_is_given(argument: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="it would reach this machine"):
        containment.require_contained(USUAL | argument)


def test_each_argument_that_docker_takes_is_either_harmless_or_refused() -> None:
    """A release of the SDK that brings a new one must not open anything by itself."""
    known = set(docker.models.containers.RUN_CREATE_KWARGS) | set(docker.models.containers.RUN_HOST_CONFIG_KWARGS)
    for name in known - containment.HARMLESS_ARGUMENTS:
        with pytest.raises(ValueError, match="it would reach this machine"):
            containment.require_contained(
                {name: object() if name not in {"cap_add", "links", "security_opt"} else ["xy"]}
            )

"""The Docker networks of the tasks, each with a router (`task_router.py`) that lets out what AWS would let out.

All is done through the engine, whose group the user is in: nothing on this machine itself is configured, and a router
that is removed leaves nothing behind. Where an engine cannot have one, `problem` says so.
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import docker.errors
from docker import DockerClient
from docker.types import IPAMConfig, IPAMPool

from spotfleet.local.host import paths, running_containers, task_router

logger = logging.getLogger("spotfleet.networks")

# What docker_engine finds a network and its router by when they were left.
INSTANCE_LABEL = "spotfleet.instance"
ROUTER_LABEL = "spotfleet.router"
# https://docs.docker.com/reference/cli/docker/network/create/: the bridge driver gives containers this default gateway.
GATEWAY_KEY = "DefaultGatewayIPv4"
FOLDER_IN_ROUTER = "/tasks"
# Real seconds: for a router to get ready, and until one is tried again where none could be had.
READY_SECONDS, RETRY_SECONDS = 60.0, 300.0
ATTEMPTS = 5
MEMORY = 64 * 1024 * 1024
NO_ROUTER = "Tasks reach what this machine reaches, and no AWS (rules N1 and N3): the Docker engine can have no router"
NO_SOCKET = (
    "Tasks find no AWS (rule N3): the Docker engine's containers reach no socket of this machine (Docker Desktop?)."
)
# A Unix socket's address has 108 bytes, the last of which is 0.
LONGEST_SOCKET = 107


@dataclass(frozen=True)
class Rules:
    """What a router lets out: (protocol, first port, last port, network), and to which networks never anything."""

    allowed: list[tuple[int, int, int, str]]
    never: list[str]

    def as_json(self) -> str:
        """Return the rules as the router reads them."""
        return json.dumps(asdict(self) | {"never": [[network] for network in self.never]})


@dataclass
class _Standing:
    router: str
    rules: Rules


_networks: dict[str, _Standing] = {}
_lock = threading.Lock()
_problem = ""
_failed_at: float | None = None


def folder() -> Path:
    """Return the folder of the rules and of the socket for tasks, for its owner only, and make it."""
    made = paths.state_folder() / "tasks"
    paths.make_private(made)
    return made


def aws_socket() -> Path:
    """Return the socket on which the embedded AWS answers tasks."""
    return folder() / "aws.sock"


def bind_aws_socket() -> socket.socket | None:
    """Return that socket, bound anew, or None where this machine can have none there."""
    place = aws_socket()
    bound, opened = socket.socket(socket.AF_UNIX), os.open(place.parent, os.O_RDONLY)
    try:
        place.unlink(missing_ok=True)
        # A short way to the same folder, on Linux.
        by_number = f"/proc/self/fd/{opened}/{place.name}"
        bound.bind(str(place) if len(os.fsencode(place)) <= LONGEST_SOCKET else by_number)
    except OSError as error:
        bound.close()
        logger.warning("Tasks find no AWS (rule N3): %s: %s", error, place)
        return None
    finally:
        os.close(opened)
    return bound


def problem() -> str:
    """Return in one line what is not as on AWS since no router could be had, or nothing."""
    return _problem


def instance() -> str:
    """Return the value of the label by which what this embedded AWS has started is known."""
    return f"{socket.gethostname()}:{paths.port()}"


def name_of(key: str) -> str:
    """Return the name of the network of machines that are told apart by `key`."""
    return f"spotfleet-{paths.port()}-{key}"


def standing() -> list[str]:
    """Return the names of the networks that have a router."""
    with _lock:
        return list(_networks)


def ensure(name: str, rules: Rules) -> bool:
    """Make a network and its router unless they stand, with these rules; return whether tasks can join it."""
    with _lock, closing(docker.from_env()) as engine:
        if name in _networks and _runs(engine, _networks[name].router):
            _set_rules(engine, name, rules)
            return True
        if _failed_at is not None and time.monotonic() - _failed_at < RETRY_SECONDS:
            return False
        try:
            router, finds_aws = _make(engine, name, rules)
        except (*running_containers.ERRORS, RuntimeError) as error:
            _remove(engine, name)
            _fail(f"{NO_ROUTER} ({' '.join(str(error).split())[:200]}).", time.monotonic())
            return False
        _networks[name] = _Standing(router, rules)
        _fail("" if finds_aws else NO_SOCKET, None)
        return True


def _fail(words: str, moment: float | None) -> None:
    """Keep what is not as on AWS, and when no router could be had."""
    global _problem, _failed_at  # one engine
    _problem, _failed_at = words, moment
    if words:
        logger.warning(words)


def _runs(engine: DockerClient, router: str) -> bool:
    with suppress(docker.errors.NotFound):
        return bool(engine.api.inspect_container(router)["State"]["Running"])
    return False


def set_rules(name: str, rules: Rules) -> None:
    """Let the router of a network follow other rules, for running containers too; nothing when it has them."""
    with _lock:
        if name in _networks and _networks[name].rules != rules:
            with closing(docker.from_env()) as engine:
                _set_rules(engine, name, rules)


def _set_rules(engine: DockerClient, name: str, rules: Rules) -> None:
    if _networks[name].rules == rules:
        return
    _write(name, rules)
    engine.api.kill(_networks[name].router, signal="SIGHUP")
    _networks[name].rules = rules


def remove(name: str) -> bool:
    """Remove a network and its router; return whether they are gone: with tasks in the network both stay."""
    with _lock, closing(docker.from_env()) as engine:
        if _has_tasks(engine, name) or not _remove(engine, name):
            return False
        _networks.pop(name, None)
        return True


def _has_tasks(engine: DockerClient, name: str) -> bool:
    with suppress(docker.errors.NotFound):
        return any(item["Name"] != name for item in engine.api.inspect_network(name)["Containers"].values())
    return False


def remove_all() -> None:
    """Remove what stands, when the embedded AWS has stopped."""
    for name in standing():
        with suppress(*running_containers.ERRORS):
            remove(name)


def _write(name: str, rules: Rules) -> Path:
    file = folder() / f"{name}.json"
    new = file.with_suffix(".new")
    new.write_text(rules.as_json())
    new.chmod(0o600)
    new.replace(file)
    return file


def _make(engine: DockerClient, name: str, rules: Rules) -> tuple[str, bool]:
    """Return the id of the router of a network, and whether it finds the embedded AWS.

    The network is made anew, unless tasks are in it whose router is gone. Raises what Docker raises, and RuntimeError.
    """
    if _remove(engine, name):
        _make_network_with_gateway(engine, name)
    _write(name, rules)
    config = engine.api.inspect_network(name)["IPAM"]["Config"][0]
    failure: Exception = RuntimeError("no image with Python")
    for image in _images(engine):
        try:
            addresses = [config["AuxiliaryAddresses"][GATEWAY_KEY], config["Gateway"], config["Subnet"]]
            return _start_router(engine, image, name, addresses)
        except (docker.errors.DockerException, RuntimeError) as error:
            failure = error
    raise failure


def _make_network_with_gateway(engine: DockerClient, name: str) -> None:
    """Make a network that leads its containers to a router at its third address."""
    for attempt in range(1, ATTEMPTS + 1):
        subnet = _free_subnet(engine, name)
        router = {GATEWAY_KEY: str(subnet[2])}
        try:
            _make_network(engine, name, IPAMPool(subnet=str(subnet), gateway=str(subnet[1]), aux_addresses=router))
            return
        except docker.errors.APIError:
            # Somebody else was given the subnet between the two calls.
            if attempt == ATTEMPTS:
                raise


def _make_network(engine: DockerClient, name: str, pool: IPAMPool | None) -> dict[str, Any]:
    config = IPAMConfig(pool_configs=[pool]) if pool else None
    labels = {INSTANCE_LABEL: instance()}
    network = engine.api.create_network(name, driver="bridge", ipam=config, labels=labels, check_duplicate=True)
    found: dict[str, Any] = engine.api.inspect_network(network["Id"])
    return found


def _free_subnet(engine: DockerClient, name: str) -> IPv4Network:
    """Return a subnet that the engine gives out: it knows which ones are taken on this machine."""
    network = _make_network(engine, name, None)
    subnet = IPv4Network(network["IPAM"]["Config"][0]["Subnet"])
    engine.api.remove_network(network["Id"])
    return subnet


def _images(engine: DockerClient) -> Iterator[str]:
    """Yield images with Python: those that services are built on, which the engine mostly has already."""
    configured = [paths.setting(environment, "base_image") for environment in paths.environments()]
    names = list(dict.fromkeys(item for item in configured if isinstance(item, str)))
    built_here = [tag for image in engine.images.list(name="spotfleet-base") for tag in image.tags]
    missing = []
    for name in [*names, *built_here]:
        try:
            engine.images.get(name)
            yield name
        except docker.errors.ImageNotFound:
            missing.append(name)
    for name in missing:
        with suppress(docker.errors.DockerException):
            engine.images.pull(name)
            yield name


def _start_router(engine: DockerClient, image: str, name: str, addresses: list[str]) -> tuple[str, bool]:
    """Start a router, past the check that keeps tasks contained: it alone may change the routes, of its own network."""
    source = Path(task_router.__file__)
    binds = [f"{source}:/router.py:ro", f"{folder()}:{FOLDER_IN_ROUTER}:ro"]
    no_redirects = {f"net.ipv4.conf.{which}.send_redirects": "0" for which in ("all", "default")}
    host_config = engine.api.create_host_config(
        binds=binds,
        cap_drop=["ALL"],
        # The last one opens what is for its owner only, the program itself too where a strict umask has checked it out.
        cap_add=["NET_ADMIN", "NET_BIND_SERVICE", "DAC_OVERRIDE"],
        mem_limit=MEMORY,
        network_mode=name,
        pids_limit=32,
        read_only=True,
        restart_policy={"Name": "always"},
        security_opt=["no-new-privileges"],
        sysctls={"net.ipv4.ip_forward": "1", **no_redirects},
    )
    container = engine.api.create_container(
        image,
        ["/router.py", *addresses, f"{FOLDER_IN_ROUTER}/{name}.json"],
        entrypoint=["python3", "-u"],
        host_config=host_config,
        labels={INSTANCE_LABEL: instance(), ROUTER_LABEL: name},
        name=name,
        user="0:0",
    )["Id"]
    try:
        engine.api.start(container)
        return str(container), _finds_aws(engine, container)
    except Exception:
        engine.api.remove_container(container, force=True, v=True)
        raise


def _finds_aws(engine: DockerClient, container: str) -> bool:
    """Wait until a router is ready, and return whether it finds the embedded AWS. Raises RuntimeError when it ends."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        words = engine.api.logs(container).decode(errors="replace").splitlines()
        if task_router.READY in words:
            return task_router.WITHOUT_AWS not in words
        if engine.api.inspect_container(container)["RestartCount"]:
            raise RuntimeError(f"a router ends: {' '.join(words)[-200:]}")
        time.sleep(0.05)
    raise RuntimeError("a router does not get ready")


def _remove(engine: DockerClient, name: str) -> bool:
    (folder() / f"{name}.json").unlink(missing_ok=True)
    with suppress(docker.errors.NotFound):
        engine.api.remove_container(name, force=True, v=True)
    try:
        engine.api.remove_network(name)
    except docker.errors.NotFound:
        return True
    except docker.errors.APIError:
        return False
    return True

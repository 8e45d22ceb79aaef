"""The embedded AWS as a process: the one place that knows all of its parts."""

import asyncio
import fcntl
import functools
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spotfleet.local.api import embedded_aws
from spotfleet.local.backchannel import changes
from spotfleet.local.backchannel.scaling_activities import DEFAULT_ACCOUNT
from spotfleet.local.balancer import ports
from spotfleet.local.balancer.controller import Balancer
from spotfleet.local.balancer.metrics import BalancerMetrics
from spotfleet.local.controller import Controller
from spotfleet.local.controllers.alarms import Alarms
from spotfleet.local.controllers.fast_usage_metrics import FastMetrics
from spotfleet.local.controllers.group_schedules import GroupSchedules
from spotfleet.local.controllers.machine_limits import MachineLimits
from spotfleet.local.controllers.machine_scaling import MachineScaling
from spotfleet.local.controllers.machines import Fleet
from spotfleet.local.controllers.outgoing_traffic import OutgoingTraffic
from spotfleet.local.controllers.service_scaling import Scaling
from spotfleet.local.controllers.status_metrics import ResourceMetrics
from spotfleet.local.controllers.task_health import TaskHealth
from spotfleet.local.controllers.usage_metrics import Metrics
from spotfleet.local.daemon.page.snapshot import Page
from spotfleet.local.daemon.supervisor import Supervisor
from spotfleet.local.host import keys, paths, rehearsal, task_networks, variables
from spotfleet.local.host.console import Failure


def classes() -> list[Callable[[], Controller]]:
    """Return the controllers that run beside the embedded AWS."""
    tasks_and_machines = [TaskHealth, Fleet, MachineLimits, MachineScaling, GroupSchedules, OutgoingTraffic]
    metrics = [BalancerMetrics, Metrics, FastMetrics, ResourceMetrics]
    return [Balancer, *tasks_and_machines, *metrics, Alarms, Scaling, Page]


def serve() -> None:
    """Run the embedded AWS in this process, on the loopback interface only, until SIGTERM or SIGINT.

    Raises Failure when its port is in use, when a port of the load balancer's is none, or a variable of the rehearsal.
    """
    require_free_port()
    rehearsal.own()  # says at once when a variable is none
    ports.require_numbers()
    # Whatever is written from here on, by HAProxy as well, only its owner can read.
    os.umask(0o077)
    with _only_one():
        _serve()


@contextmanager
def _only_one() -> Iterator[None]:
    """Hold this port's state for the block: a second start at the same time would replace the first one's key."""
    with (paths.state_folder() / "serving").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Failure(f"An embedded AWS starts or runs on port {paths.port()} already.") from error
        yield


def _serve() -> None:
    key = keys.make()
    keys.hold(key)
    _set_ministack_variables()
    from hypercorn.asyncio import serve as hypercorn_serve  # noqa: PLC0415  # slow to import, only needed here
    from hypercorn.config import Config  # noqa: PLC0415

    # MiniStack reads the variables when it is imported.
    from spotfleet.local.daemon import application, task_door  # noqa: PLC0415
    from spotfleet.local.emulator.application import stop_containers  # noqa: PLC0415
    from spotfleet.local.emulator.state import fingerprint  # noqa: PLC0415

    config = Config()
    config.bind = [f"127.0.0.1:{paths.port()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 2

    for_tasks = Config()
    aws_socket = task_networks.bind_aws_socket()
    for_tasks.bind = [f"fd://{aws_socket.detach()}"] if aws_socket else []
    for_tasks.keep_alive_timeout = 75
    for_tasks.graceful_timeout = 2

    supervisor = Supervisor(classes())

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        identity = functools.partial(application.identity, supervisor)
        start = asyncio.create_task(_start_controllers(supervisor, identity))

        async def until_stopped() -> None:
            await stop.wait()
            start.cancel()
            # While the server still answers what they ask, and what tasks ask that finish their work.
            await asyncio.to_thread(supervisor.stop)
            await asyncio.to_thread(stop_containers)

        # Stopping this way runs MiniStack's own shutdown, which removes what has started meanwhile.
        asgi = application.make(supervisor, key)
        changes.watch(fingerprint)
        door = task_door.make(key)
        everything = hypercorn_serve(asgi, config, shutdown_trigger=until_stopped)  # type: ignore[arg-type]
        await with_door(everything, lambda ended: hypercorn_serve(door, for_tasks, shutdown_trigger=ended))  # type: ignore[arg-type]

    running = running_file()
    running.touch()
    asyncio.run(run())
    task_networks.remove_all()
    keys.forget()
    running.unlink(missing_ok=True)


async def with_door(
    everything: Awaitable[None], door: Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]
) -> None:
    """Answer tasks until everything else has ended, their containers as well; `door` is told what to wait for."""
    ended = asyncio.Event()

    async def until_ended() -> None:
        try:
            await everything
        finally:
            ended.set()

    await asyncio.gather(until_ended(), door(ended.wait))


def running_file() -> Path:
    """Return the file that is there from the start of the embedded AWS until it has stopped in order."""
    return paths.state_folder() / "running"


async def _start_controllers(supervisor: Supervisor, identity: Callable[[], dict[str, Any]]) -> None:
    """Start the controllers once the server answers: they begin with asking it."""
    while await asyncio.to_thread(embedded_aws.find) is None:
        await asyncio.sleep(0.1)
    embedded_aws.runs_here(identity)
    supervisor.start()


def _set_ministack_variables() -> None:
    """Set what MiniStack reads when it is imported; what it writes goes below the ignored folder."""
    folder = paths.state_folder()
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    # The server calls itself: with the variables that lead to it, never with the user's own.
    inside = variables.for_server()
    os.environ.clear()
    os.environ.update(inside)
    os.environ.update(
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(paths.port()),
        # Part of the label of this server's containers, by which docker_engine finds what is left of them.
        MINISTACK_HOSTNAME=socket.gethostname(),
        MINISTACK_ACCOUNT_ID=DEFAULT_ACCOUNT,
        STATE_DIR=str(folder / "state"),
        S3_DATA_DIR=str(folder / "s3"),
        TMPDIR=str(temporary),
        # Listeners of services that no template uses.
        SFTP_ENABLED="0",
        IOT_MTLS_ENABLED="0",
    )


def require_free_port() -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", paths.port()))
        except OSError as error:
            raise Failure(
                f"Port {paths.port()}, where the embedded AWS would listen, is not free ({error.strerror}): "
                f"stop what uses it, or choose another port with {paths.PORT_VARIABLE}=4577."
            ) from error

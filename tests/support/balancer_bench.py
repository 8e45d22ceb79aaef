"""The load balancer's controller between an ELBv2 that a test changes and a real HAProxy, with tasks behind it."""

import http.client
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from spotfleet.local.backchannel import target_health
from spotfleet.local.backchannel.target_health import Health, Target
from spotfleet.local.balancer import haproxy_syntax, ports
from spotfleet.local.balancer.controller import Balancer
from spotfleet.local.balancer.haproxy import Process
from spotfleet.local.balancer.haproxy_syntax import Command
from tests.support.balancers import BALANCER, GROUP, SECONDS, Backend, Elbv2

BACKEND = "targetgroup.blue.3333.node0"
LOOK_SECONDS = 0.02


class Told(Process):
    """HAProxy, and what it was told: commands, but those that only ask, and how many configurations."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        self.commands: list[str] = []
        self.configurations = 0

    def command(self, *commands: Command) -> str:
        self.commands += [text for text in commands if not text.startswith(("show ", "get "))]
        return super().command(*commands)

    def run(self, configuration: str, description: str) -> None:
        self.configurations += 1
        super().run(configuration, description)


class Bench:
    """A balancer, the load balancer that it has to be, and the tasks behind it."""

    def __init__(self, process: Told) -> None:
        self.elbv2 = Elbv2()
        self.elbv2.health_check["HealthCheckIntervalSeconds"] = 5
        self.process = process
        self.balancer = self._new()
        self.tasks: list[Backend] = []

    def _new(self, regions: Callable[[], list[str]] = lambda: ["eu-west-1"]) -> Balancer:
        return Balancer(self.process, regions, lambda _region: self.elbv2.client)

    def restart(self, regions: Callable[[], list[str]] = lambda: ["eu-west-1"]) -> None:
        """Put a controller that knows nothing in the place of the one that there is."""
        self.end()
        self.balancer = self._new(regions)

    def end(self) -> None:
        """Close what the controller has open, but HAProxy."""
        self.balancer._keep_alives.forget_others(())

    def steps(self, count: int = 1) -> None:
        for _ in range(count):
            self.balancer.step()

    def until(self, condition: Callable[[], bool]) -> None:
        # Counted, since some tests stop the clock.
        for _ in range(int(SECONDS / LOOK_SECONDS)):
            if condition():
                return
            self.balancer.step()
            time.sleep(LOOK_SECONDS)
        raise AssertionError(self.process.command(haproxy_syntax.command("show", "stat")))

    def add(self, status: int = 200, keep_alive: float | None = None) -> Backend:
        """Register a task whose health check answers so, and which keeps idle connections for so many seconds."""
        task = Backend(f"task {len(self.tasks)}", keep_alive)
        task.status = status
        self.tasks.append(task)
        self.elbv2.targets[task.target] = "initial"
        return task

    def healthy(self) -> Backend:
        """Return a task that is registered and healthy."""
        task = self.add()
        self.until(lambda: self.health(task).state == "healthy")
        return task

    def fail(self, task: Backend) -> None:
        task.status = 503
        self.until(lambda: self.health(task).state == "unhealthy")

    def health(self, task: Backend) -> Health:
        return target_health.health(GROUP, Target(*task.target))

    def is_idle(self, task: Backend) -> bool:
        return target_health.is_idle(GROUP, Target(*task.target))

    def servers(self, backend: str = BACKEND) -> dict[str, dict[str, str]]:
        return {
            line["svname"]: line for line in self.process.statistics() if line["addr"] and line["pxname"] == backend
        }

    def server(self, task: Backend) -> dict[str, str]:
        return self.servers()[name(task)]

    def ask(self, path: str = "/x") -> str:
        """Return what is answered, which begins with the task's name."""
        with closing(http.client.HTTPConnection("127.0.0.1", ports.load()[BALANCER, 80], timeout=SECONDS)) as asking:
            asking.request("GET", path)
            return asking.getresponse().read().decode()

    def asked(self) -> set[str]:
        """Return the names of the tasks that answer."""
        return {" ".join(self.ask().split()[:2]) for _ in range(4)}

    @property
    def text(self) -> str:
        return self.process.configuration.read_text()


def name(task: Backend) -> str:
    """Return the name that a task's server has in HAProxy."""
    return "{}:{}".format(*task.target)

"""The live page with an environment that is made up, without any AWS: for its tests, and to look at while changing it.

python -m tests.support.page_server     # then open the address that it prints
"""

import math
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from spotfleet.local.api import embedded_aws
from spotfleet.local.daemon.page import files
from spotfleet.local.daemon.page.events import Event

KEY = "key"
ZONES = ("eu-west-1a", "eu-west-1b", "eu-west-1c")
REASON = (
    "monitor alarm TargetTracking-service in state ALARM triggered policy cpu: the metric was at 95.0, its target is 70"
)
# Of what is told of an environment while it is being launched.
NOTHING: dict[str, Any] = {
    **{"environment": "dev", "url": None, "phase": "is being launched or changed", "problem": None, "desired_tasks": 0},
    **{"stacks": {"spotfleet-dev-vpc": "CREATE_IN_PROGRESS"}, "tasks": [], "machines": [], "services": []},
    **{"events": [], "history": {"times": [], "series": {}}},
}


def machine(number: int) -> dict[str, Any]:
    """Return one of several machines: the first is on-demand, the last ones drain or boot."""
    one: dict[str, Any] = {
        "id": f"i-{number:017x}",
        **{
            "zone": ZONES[number % 3],
            "state": "InService",
            "type": "t3.micro",
            "kind": "spot" if number else "on-demand",
        },
        **{"draining": number % 7 == 5, "notice": time.time() + 100 if number % 7 == 5 else None},
        **{"cpu_units": 2048, "free_cpu_units": 2048 - 256 * (number % 8), "memory_mib": 904},
        "free_memory_mib": 904 - 100 * (number % 8),
    }
    if number % 7 == 6:
        one |= {
            "state": "Pending",
            "cpu_units": None,
            "free_cpu_units": None,
            "memory_mib": None,
            "free_memory_mib": None,
        }
    return one


def service(name: str, tasks: int, targets: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a service whose tasks all run."""
    group = {"name": f"targetgroup/{name}/0123", "requests_per_second": 120.5, "p50": 0.0031, "p99": 0.042}
    return {
        **{
            "name": name,
            "desired": tasks,
            "running": tasks,
            "cpu_percent": [10.0, 64.6, None],
            "cpu_target_percent": 70.0,
        },
        **{"memory_percent": 41.5, "activities": [], "events": []},
        "groups": [group | {"errors_per_second": 0.2, "targets": targets}],
    }


def history(names: list[str], machines: int, tasks: int, seconds: float) -> dict[str, Any]:
    """Return figures over the last `seconds`, one of them missing for a while."""
    now = time.time()
    times = [now - seconds + seconds * (number + 1) / 150 for number in range(150)]
    series: dict[str, list[float | None]] = {
        "machines/on-demand": [1] * 150,
        "machines/spot": [machines - 1 if number > 60 else 1 for number in range(150)],
        "machines/draining": [1 if number > 120 else 0 for number in range(150)],
        "machines/reservation": [150 if 40 < number < 60 else 80 + number % 20 for number in range(150)],
        "machines/reservation_target": [100] * 150,
    }
    for index, name in enumerate(names):
        rate = [max(0, 150 + 90 * math.sin(number / 14 + index) - 60 * index) for number in range(150)]
        of_service: dict[str, list[float | None]] = {
            "rate": [round(value, 1) for value in rate],
            "errors": [2.5 if 118 < number < 126 else 0 for number in range(150)],
            "p50": [None if 20 < number < 30 else 0.003 + 0.001 * (number % 3) for number in range(150)],
            "p99": [None if 20 < number < 30 else 0.02 + value / 5000 for number, value in enumerate(rate)],
            "cpu": [round(value / 3) for value in rate],
            "cpu_target": [70] * 150,
            "memory": [41.5] * 150,
            "running": [tasks if number > 55 else 2 for number in range(150)],
            "desired": [tasks if number > 45 else 2 for number in range(150)],
        }
        series |= {f"services/{name}/{figure}": values for figure, values in of_service.items()}
    return {"times": times, "series": series}


def events(name: str, seconds: float) -> list[dict[str, Any]]:
    """Return one event of each kind."""
    now = time.time()
    happened = [
        (0.9, "deployment", f"{name}: deployment of web:2 begins", ""),
        (0.8, "deployed", f"{name}: deployment of web:2 is complete", "ECS deployment completed."),
        (0.7, "scaling", f"{name}: Setting desired count to 4.", REASON),
        (0.6, "came", "spot machine i-1 (t3.micro, eu-west-1a) comes", "an instance was started"),
        (0.597, "came", "spot machine i-2 (t3.micro, eu-west-1b) comes", "an instance was started"),
        (0.2, "notice", "spot machine i-5 (t3.micro, eu-west-1c) has its Spot notice", "EC2 takes it back in 120 s"),
        (0.195, "draining", "spot machine i-5 (t3.micro, eu-west-1c) drains", ""),
        (0.1, "gone", "spot machine i-5 (t3.micro, eu-west-1c) is gone", "taken out of service"),
        (0.05, "failed", f"{name}: deployment of web:3 has failed", "tasks failed to start"),
    ]
    return [vars(Event(now - share * seconds, *rest)) for share, *rest in happened]


def snapshot(names: list[str], machines: int = 6, tasks: int = 8, factor: float = 10) -> dict[str, Any]:
    """Return what the page is told of the environment dev with services of these names."""
    seconds = 3600 / factor
    all_machines = [machine(number) for number in range(machines)]
    all_tasks = [
        {
            **{"id": f"{number:08x}-c977-4ae9-a7f4-7c4b4732c974", "state": "RUNNING", "image": "web:1"},
            **{"health": ("healthy", "healthy", "healthy", "initial", "draining")[number % 5]},
            **{"address": f"127.0.0.1:{32768 + number}", "service": names[number % len(names)]},
            "machine": all_machines[number % machines]["id"] if number % 40 != 39 else None,
        }
        for number in range(tasks)
    ]
    targets = [
        {"id": one["machine"] or "", "port": 32768 + n, "state": one["health"]} for n, one in enumerate(all_tasks)
    ]
    layers = ("cluster", "load-balancer", "machines", *names, "vpc")
    dev = NOTHING | {
        **{"url": "http://127.0.0.1:8080/", "phase": "is complete", "desired_tasks": tasks},
        "stacks": {f"spotfleet-dev-{layer}": "CREATE_COMPLETE" for layer in layers},
        **{"tasks": all_tasks, "machines": all_machines, "events": events(names[0], seconds)},
        "services": [
            service(name, tasks // len(names), targets[index :: len(names)]) for index, name in enumerate(names)
        ],
        "history": history(names, machines, tasks // len(names), seconds),
    }
    return told([dev], factor)


def told(environments: list[dict[str, Any]], factor: float = 10) -> dict[str, Any]:
    """Return what the page is told of these environments."""
    label = f"AWS's times, {factor:g} times faster (LOCAL_SPEED={factor:g})" if factor != 1 else "AWS's times, real"
    more = {"factor": factor, "speed": label, "window": 3600 / factor, "controllers": []}
    return {"time": time.time(), "environments": environments, **more}


def application(source: Callable[[], dict[str, Any]]) -> web.Application:
    """Return what answers as the embedded AWS does for the live page."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == f"{embedded_aws.PAGE_PATH}.json":
            if request.headers.get("Authorization") != f"Bearer {KEY}":
                return web.Response(status=403)
            return web.json_response(source())
        found = files.answer(request.path, {name.lower(): value for name, value in request.headers.items()})
        if found is None:
            return web.Response(status=403)
        status, headers, body = found
        return web.Response(
            status=status, body=body, headers={name.decode(): value.decode() for name, value in headers}
        )

    made = web.Application()
    made.router.add_get("/{path:.*}", answer)
    return made


if __name__ == "__main__":
    print(f"http://127.0.0.1:8099{embedded_aws.PAGE_PATH}#{KEY}")
    web.run_app(application(lambda: snapshot(["web", "api"])), host="127.0.0.1", port=8099, print=None)

"""Compares the service with the article's application and other frameworks: `python -m bench`, or `make bench`."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench import measure, report, tools
from bench.clients import percentile
from bench.containers import Images
from bench.measure import Ratios, in_turns, offer, ratios, saturate
from bench.servers import (
    ARTICLE,
    ARTICLE_LOG,
    ARTICLE_UVLOOP,
    FASTAPI,
    PROJECT,
    SANIC,
    SPOTFLEET,
    SPOTFLEET_LOG,
    STARLETTE,
    Contender,
    all_running,
    contenders,
    running,
)
from bench.wrk import Burst
from spotfleet.local.host import docker_engine
from spotfleet.local.host.console import Failure, complain, say

FOLDER = PROJECT / "build" / "bench"
ORIGIN = "Origin: https://shop.example"
FEW, MANY = 32, 256


@dataclass(frozen=True)
class Effort:
    """How long to measure. The quick one shows that everything works; its figures mean little."""

    rounds: int
    burst_seconds: int
    starts: int
    newcomer_rounds: int
    ends: int


FULL = Effort(rounds=21, burst_seconds=1, starts=9, newcomer_rounds=5, ends=20)
QUICK = Effort(rounds=2, burst_seconds=1, starts=2, newcomer_rounds=1, ends=1)


def main() -> int:
    """Measure, print the table, write plot and JSON; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds instead of 21 (2 minutes instead of 15)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write service.json and service.png")
    arguments = parser.parse_args()
    try:
        compare(QUICK if arguments.quick else FULL, arguments.folder)
    except Failure as failure:
        complain(str(failure))
        return 1
    return 0


def compare(effort: Effort, folder: Path) -> None:
    """Measure everything and report it."""
    tools.need_load_generator()
    server_core, load_core = tools.two_cores()
    service_python = tools.virtual_environment(FOLDER / "service-venv", PROJECT / "service" / "requirements.txt")
    peers_python = tools.virtual_environment(FOLDER / "peers-venv", PROJECT / "bench" / "requirements.txt")
    compile_service(service_python)
    # The clients that are written here stay off the servers' core, as wrk does.
    os.sched_setaffinity(0, {load_core})
    everyone = contenders(service_python, peers_python)
    docker_engine.prepare()

    result = report.Result(environment=describe_machine(service_python))
    under_load(result, everyone, effort, server_core, load_core)
    starts(result, everyone, effort, server_core)
    newcomers(result, everyone, effort, server_core, load_core)
    ends(result, everyone, effort, server_core)
    # Only now: where an engine runs, the kernel tracks every connection, and that is a part of each request's time.
    docker_engine.ensure()
    in_containers(result, effort, server_core, load_core)
    docker_engine.stop_if_ours()

    report.judge(result)
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "service.json"
    data.write_text(json.dumps(result.to_json(), indent=2) + "\n")
    print(report.table(result))
    plot = folder / "service.png"
    subprocess.run([peers_python, "-m", "bench.plot", data, plot], check=True, cwd=PROJECT)
    say(f"Written: {data} and {plot}")


def under_load(result: report.Result, everyone: list[Contender], effort: Effort, core: int, load_core: int) -> None:
    """Saturate all servers in turns: with few and with many connections, and some with an Origin header."""
    with all_running(everyone, core) as servers:

        def load(connections: int, *headers: str) -> dict[str, list[Burst]]:
            names = [ARTICLE, SPOTFLEET, SPOTFLEET_LOG] if headers else list(servers)
            for name in names:
                measure.saturate_alone(servers[name], connections, 1, load_core, headers)
            return in_turns(
                names,
                effort.rounds,
                lambda name: measure.saturate_alone(
                    servers[name], connections, effort.burst_seconds, load_core, headers
                ),
            )

        say(f"{FEW} connections ...")
        few = load(FEW)
        say(f"{MANY} connections ...")
        many = load(MANY)
        say(f"{FEW} connections with an Origin header ...")
        origin = load(FEW, ORIGIN)
        memory = {name: server.memory_mib for name, server in servers.items()}

    for contender in everyone:
        name = contender.name
        result.rows[name] = report.Row(
            name=name,
            requests_per_s=statistics.median(burst.requests_per_s for burst in few[name]),
            p50_ms=statistics.median(burst.p50_ms for burst in few[name]),
            p99_ms=statistics.median(burst.p99_ms for burst in few[name]),
            requests_per_s_256=statistics.median(burst.requests_per_s for burst in many[name]),
            p99_ms_256=statistics.median(burst.p99_ms for burst in many[name]),
            rss_mib=memory[name],
            ratio=ratios(few, name, ARTICLE, "requests_per_s"),
            ratio_256=ratios(many, name, ARTICLE, "requests_per_s"),
        )
    found = result.ratios
    found["rate 32"] = ratios(few, SPOTFLEET, ARTICLE, "requests_per_s")
    found["rate 256"] = ratios(many, SPOTFLEET, ARTICLE, "requests_per_s")
    found["p99 32"] = ratios(few, SPOTFLEET, ARTICLE, "p99_ms")
    found["p99 256"] = ratios(many, SPOTFLEET, ARTICLE, "p99_ms")
    found["uvloop 32"] = ratios(few, ARTICLE_UVLOOP, ARTICLE, "requests_per_s")
    found["log 32"] = ratios(few, SPOTFLEET_LOG, ARTICLE, "requests_per_s")
    found["article log 32"] = ratios(few, ARTICLE_LOG, ARTICLE, "requests_per_s")
    found["origin 32"] = ratios(origin, SPOTFLEET, ARTICLE, "requests_per_s")
    found["memory"] = Ratios([memory[SPOTFLEET] / memory[ARTICLE]])
    for peer in (STARLETTE, FASTAPI, SANIC):
        found[f"over {peer}"] = ratios(few, SPOTFLEET, peer, "requests_per_s")


def starts(result: report.Result, everyone: list[Contender], effort: Effort, core: int) -> None:
    """Start every server several times on a whole core."""
    say("Starts ...")
    taken: dict[str, list[float]] = {contender.name: [] for contender in everyone}
    for _ in range(effort.starts):
        for contender in everyone:
            with running(contender, core) as server:
                taken[contender.name].append(server.start_ms)
    for name, values in taken.items():
        result.rows[name].start_ms = statistics.median(values)


def newcomers(result: report.Result, everyone: list[Contender], effort: Effort, core: int, load_core: int) -> None:
    """Open bursts of new connections beside busy ones."""
    say("Bursts of 200 new connections ...")
    for contender in everyone:
        if contender.name in (ARTICLE, ARTICLE_UVLOOP, SPOTFLEET):
            with running(contender, core) as server:
                taken = measure.newcomers(server, effort.newcomer_rounds, load_core)
            result.newcomers[contender.name] = {"p99_ms": percentile(taken, 99), "max_ms": max(taken)}


def ends(result: report.Result, everyone: list[Contender], effort: Effort, core: int) -> None:
    """Send SIGTERM under load, several times."""
    say("SIGTERM under load ...")
    for contender in everyone:
        if contender.name in (ARTICLE, SPOTFLEET):
            outcomes = [measure.end(contender, core) for _ in range(effort.ends)]
            result.ends[contender.name] = {
                "times": len(outcomes),
                "answered": sum(outcome.answered for outcome, _ in outcomes),
                "broken": sum(len(outcome.broken) for outcome, _ in outcomes),
                "refused": sum(len(outcome.refused) for outcome, _ in outcomes),
                "longest_s": max(seconds for _, seconds in outcomes),
            }


def in_containers(result: report.Result, effort: Effort, core: int, load_core: int) -> None:
    """Compare both images, and both containers on a task's share of a core."""
    say("Images ...")
    images = Images()
    for name in images.uris:
        size, rebuild = images.size_mb(name), images.rebuild_seconds[name]
        result.images[name] = {"size_mb": size, "rebuild_s": rebuild}
    say("0.25 core ...")
    started: dict[str, list[float]] = {name: [] for name in images.uris}
    for _ in range(effort.starts):
        for name in images.uris:
            with images.running(name, core) as (_, start_ms):
                started[name].append(start_ms)
    with images.running(ARTICLE, core) as (article_port, _), images.running(SPOTFLEET, core) as (spotfleet_port, _):
        ports = {ARTICLE: article_port, SPOTFLEET: spotfleet_port}
        seconds = effort.burst_seconds
        for port in ports.values():
            saturate(port, FEW, seconds, load_core)
        full = in_turns(ports, effort.rounds, lambda name: saturate(ports[name], FEW, seconds, load_core))
        offered = in_turns(ports, effort.rounds, lambda name: offer(ports[name], 2 * seconds, load_core))
    images.remove()
    result.ratios["start 0.25"] = Ratios(
        [one / other for one, other in zip(started[SPOTFLEET], started[ARTICLE], strict=True)]
    )
    result.ratios["rate 0.25"] = ratios(full, SPOTFLEET, ARTICLE, "requests_per_s")
    result.ratios["p99 offered 0.25"] = ratios(offered, SPOTFLEET, ARTICLE, "p99_ms")
    for name in ports:
        result.quarter_core[name] = {
            "requests_per_s": statistics.median(burst.requests_per_s for burst in full[name]),
            "offered_per_s": statistics.median(burst.requests_per_s for burst in offered[name]),
            "offered_p99_ms": statistics.median(burst.p99_ms for burst in offered[name]),
            "start_ms": statistics.median(started[name]),
        }


def compile_service(python: str) -> None:
    """Compile what is not in a virtual environment, as the image has it."""
    folders = [PROJECT / "service", PROJECT / "bench"]
    subprocess.run([python, "-m", "compileall", "-q", *folders], check=True)


def describe_machine(python: str) -> dict[str, str]:
    """Return what the figures depend on."""
    versions = subprocess.run(
        [
            python,
            "-c",
            "import sys, aiohttp, uvloop; print(sys.version.split()[0], aiohttp.__version__, uvloop.__version__)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return dict(zip(("python", "aiohttp", "uvloop"), versions, strict=True)) | {"machine": platform.machine()}


if __name__ == "__main__":
    sys.exit(main())

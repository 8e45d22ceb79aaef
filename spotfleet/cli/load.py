"""spotfleet load: sends requests to an environment's service with hey, and prints what happened."""

import json
import re
import sys
from contextlib import redirect_stdout
from typing import Any

import click

from spotfleet.cli import status
from spotfleet.cli.verb import Verb, environment_argument, json_option
from spotfleet.local.host import console, packages
from spotfleet.local.host.console import Failure, say

# Enough to fill any service that a laptop holds; more only measures hey.
MOST_PER_SECOND = 10_000
MOST_SECONDS = 3600
# Connections; each sends its next request when it has the answer to the last one.
MOST_CONNECTIONS = 100
OUR_OWN = re.compile(r"^https?://127\.0\.0\.1:\d+/")


@click.command(cls=Verb)
@environment_argument
@click.option("--rps", type=int, default=50, show_default=True, help="Requests per second.")
@click.option("--seconds", type=int, default=30, show_default=True, help="Real seconds, whatever LOCAL_SPEED says.")
@json_option()
def load(environment: str, rps: int, seconds: int, as_json: bool) -> int:
    """Send requests to the service, and print what happened."""
    current = status.of_environment(environment)
    if current is None or current.url is None:
        raise Failure(f"Nothing answers yet: launch with: spotfleet up {environment}")
    line = command(current.url, rps, seconds)
    if as_json:
        return send_for_program(line)
    ensure_installed()
    say(f"Sending {rps} requests per second to {current.url} for {seconds} s ...")
    exit_code = console.run(line, "sending")
    say(f"({current.rehearsal.label}; requests and latencies are real)")
    return exit_code


def send_for_program(line: list[str]) -> int:
    """Send the load, print what hey's report says as one JSON object, and return hey's exit code."""
    # Whatever the installation says, the standard output is for the program that asks.
    with redirect_stdout(sys.stderr):
        ensure_installed()
    report: list[str] = []
    exit_code = console.run(line, "sending", tell=report.append, still=console.complain)
    say(json.dumps(summary("\n".join(report))))
    return exit_code


def summary(report: str) -> dict[str, Any]:
    """Return what a report of hey says; latencies are in seconds, and None where nothing was answered."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
    latencies = dict(re.findall(r"^\s*(\d+)%+ in ([\d.]+) secs", report, re.MULTILINE))
    answers = re.findall(r"^\s*\[(\d{3})\]\s+(\d+) responses", report, re.MULTILINE)
    errors = re.findall(r"^\s*\[(\d+)\]\s+(?!\d+ responses)(.+)$", report, re.MULTILINE)
    p50, p99 = (float(latencies[share]) if share in latencies else None for share in ("50", "99"))
    return {
        "requests_per_second": float(rate[1]) if rate else None,
        "answers": {code: int(count) for code, count in answers},
        "errors": {text.strip(): int(count) for count, text in errors},
        **{"p50": p50, "p99": p99},
    }


def command(url: str, per_second: int, seconds: int) -> list[str]:
    """Return the command that sends so many requests per second, for so long, to a load balancer on this machine.

    Raises Failure when the numbers are out of bounds, or when the address is not on this machine.
    """
    if not 1 <= per_second <= MOST_PER_SECOND or not 1 <= seconds <= MOST_SECONDS:
        raise Failure(f"Load is from 1 to {MOST_PER_SECOND} requests per second, for 1 to {MOST_SECONDS} seconds.")
    if not OUR_OWN.match(url):
        raise Failure(f"Load is sent to this machine only, not to {url}.")
    connections = min(per_second, MOST_CONNECTIONS)
    return ["hey", "-z", f"{seconds}s", "-c", str(connections), "-q", f"{per_second / connections:g}", url]


def ensure_installed() -> None:
    """Make sure that there is a hey; raises Failure with the command to run where we may not install it."""
    packages.ensure("hey", "hey (it sends the load)")

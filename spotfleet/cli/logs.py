"""spotfleet logs: what the tasks of services have printed, from CloudWatch Logs of the embedded AWS."""

import json
import os
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from spotfleet.cli import services
from spotfleet.cli.services import Service
from spotfleet.cli.verb import Verb, environment_option, json_option
from spotfleet.local.api import clients
from spotfleet.local.host.console import Failure, say
from spotfleet.settings import shown

# Seconds between two looks with --follow.
FOLLOW_SECONDS = 1.0
# A line may arrive so long after a younger one of another task.
LATE_MS = 10_000
COLOURS = ("green", "yellow", "blue", "magenta", "cyan", "bright_red")
# Enough to tell tasks apart, and to find one in `spotfleet status`.
SHOWN_OF_TASK = 8


@dataclass(frozen=True)
class Line:
    """A line that a task has printed."""

    time: str
    service: str
    task: str
    message: str


class Reader:
    """Reads a service's log group, each line once."""

    def __init__(self, service: Service, group: str) -> None:
        self._service, self._group = service, group
        self._logs = clients.client("logs", service.region)
        self._start = 0
        self._seen: dict[str, int] = {}

    def fresh(self) -> list[tuple[int, Line]]:
        """Return the lines that are new, with their milliseconds, the newest last."""
        found = []
        while events := self._unseen():
            found += [(event["timestamp"], self._line(event)) for event in events]
            self._seen |= {event["eventId"]: event["timestamp"] for event in events}
            # One answer has 10,000 events at the most, the oldest of those that were asked for.
            self._start = max(self._seen.values())
        self._start = max(0, max(self._seen.values(), default=0) - LATE_MS)
        self._seen = {id_: moment for id_, moment in self._seen.items() if moment >= self._start}
        return sorted(found, key=lambda item: item[0])

    def _unseen(self) -> list[dict[str, Any]]:
        answer = self._logs.filter_log_events(logGroupName=self._group, startTime=self._start)
        return [event for event in answer["events"] if event["eventId"] not in self._seen]

    def _line(self, event: dict[str, Any]) -> Line:
        moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).isoformat(timespec="milliseconds")
        # <prefix>/<container>/<task>
        task = event["logStreamName"].rpartition("/")[2]
        return Line(moment, self._service.name, task, event["message"])


@click.command(cls=Verb)
@click.argument("service", required=False)
@environment_option
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@json_option("Print one JSON object per line.")
def logs(service: str | None, environment: str, follow: bool, as_json: bool) -> None:
    """Show what the tasks of a service have printed, the newest last.

    SERVICE is its file in the environment's folder, such as service; all services where it is left out.
    """
    found = services.of_environment(environment)
    chosen = [services.named(found, service)] if service else list(found.values())
    readers = [Reader(one, group) for one in chosen for group in one.log_groups]
    show = _as_json if as_json else _Text(len(chosen) > 1)
    try:
        for line in _lines(readers, follow):
            say(show(line))
    except KeyboardInterrupt:
        # The way to end it.
        return
    except (BotoCoreError, ClientError) as error:
        raise Failure(f"The logs end here: {error}") from error


def _lines(readers: Iterable[Reader], follow: bool) -> Iterator[Line]:
    while True:
        found = [item for reader in readers for item in reader.fresh()]
        yield from (line for _moment, line in sorted(found, key=lambda item: item[0]))
        if not follow:
            return
        time.sleep(FOLLOW_SECONDS)


def _as_json(line: Line) -> str:
    return json.dumps(asdict(line))


class _Text:
    """Writes lines for a person: time, task in a colour of its own, what it printed."""

    def __init__(self, with_service: bool) -> None:
        self._with_service = with_service
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def __call__(self, line: Line) -> str:
        name = line.task[:SHOWN_OF_TASK]
        if self._with_service:
            name = f"{line.service}/{name}"
        if self._coloured:
            name = click.style(name, fg=COLOURS[zlib.crc32(line.task.encode()) % len(COLOURS)])
        return f"{line.time[11:23]} {name} {shown.harmless(line.message)}"

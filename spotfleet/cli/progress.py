"""How far Sceptre is with each stack: read from its output, and from what CloudFormation says of the resources.

Sceptre tells of events up to four seconds late, and of the image's build in dozens of lines. Here each stack has one
line; what is neither an event nor routine is a notice, which a user is to read.
"""

import re
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# [2026-11-26 16:37:37] - dev/vpc - Creating Stack
MESSAGE = re.compile(r"\[[^\]]+\] - (?P<stack>\S+) - (?P<text>.*)")
# [2026-11-26 16:37:37] - dev/vpc Vpc AWS::EC2::VPC CREATE_COMPLETE reason, if any
EVENT = re.compile(r"\[[^\]]+\] - (?P<stack>\S+) (?P<resource>\S+) (?P<type>\w+::\S+) (?P<status>[A-Z_]+)\b.*")
STACK_TYPE = "AWS::CloudFormation::Stack"
# What Sceptre and the hooks say at every launch, and what is done from there on, if anything else than before.
ROUTINE = {
    r"(Launching|Creating|Updating|Deleting) [Ss]tack": "",
    r"Stack is in the \S+ state": None,
    r"(Creating|Executing) Change ?Set.*": None,
    r"Image \S+ is in the repository already": "",
    r"Building image .*": "building the image",
    r"Pulling .*": "pulling the base image",
    r"Pushing .*": "pushing the image",
    r"Pushed .*": "",
}
# Before it begins to delete, Sceptre lists the stacks.
LIST = "The following stacks, in the following order, will be "
DELETED = "delete complete"
UNCHANGED = re.compile(r"No updates to perform.*|.*[Ss]tack .*does not exist.*")
BUILDING = ("building the image", "pulling the base image", "pushing the image")
# The end of a build's output, which is shown when it fails.
KEPT_LINES = 16
WORDS = {
    "CREATE_IN_PROGRESS": "creating",
    "UPDATE_IN_PROGRESS": "updating",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": "cleaning up",
    "DELETE_IN_PROGRESS": "deleting",
    "ROLLBACK_IN_PROGRESS": "rolling back",
    "UPDATE_ROLLBACK_IN_PROGRESS": "rolling back",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": "rolling back",
    "CREATE_COMPLETE": "created",
    "UPDATE_COMPLETE": "updated",
    "DELETE_COMPLETE": "deleted",
}


@dataclass
class Row:
    """A stack: `name` as Sceptre has it, "dev/vpc", and the stacks that it waits for.

    `status` is CloudFormation's, empty before it has begun; `doing` is what a hook is at. `resources` are those that
    are there or being made, with their status, and `total` how many there will be, or were.
    """

    name: str
    after: tuple[str, ...] = ()
    status: str = ""
    doing: str = ""
    resources: dict[str, str] = field(default_factory=dict)
    total: int = 0
    started: float | None = None
    ended: float | None = None

    @property
    def label(self) -> str:
        """The name of its file."""
        return self.name.rpartition("/")[2]

    @property
    def in_progress(self) -> bool:
        """Whether CloudFormation works on it."""
        return self.status.endswith("IN_PROGRESS")

    @property
    def failed(self) -> bool:
        """Whether it has ended otherwise than it should."""
        return self.ended is not None and ("FAILED" in self.status or "ROLLBACK" in self.status)


class Board:
    """The stacks of an environment, in Sceptre's order, and how far each is."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {row.name: row for row in rows}
        self._lock = threading.Lock()
        # The end of the output of a build, which is no notice while it goes well.
        self.build_output: deque[str] = deque(maxlen=KEPT_LINES)

    def read(self, line: str, now: float) -> str | None:
        """Take in a line of Sceptre's output; return it where it is a notice, without its time."""
        with self._lock:
            if (event := EVENT.fullmatch(line)) and event["stack"] in self._rows:
                self._take_event(self._rows[event["stack"]], event, now)
                return None
            message = MESSAGE.fullmatch(line)
            if message is None and (not line.strip() or line in self._rows or line.startswith(LIST)):
                return None
            if message is None or message["stack"] not in self._rows:
                return line
            return self._take_message(self._rows[message["stack"]], message["text"], now)

    def _take_event(self, row: Row, event: re.Match[str], now: float) -> None:
        _begin(row, now)
        if event["type"] == STACK_TYPE:
            _set_status(row, event["status"], now)
        elif row.resources.get(event["resource"], "").endswith("COMPLETE") and event["status"].endswith("IN_PROGRESS"):
            # Older than what CloudFormation itself has said meanwhile.
            return
        else:
            row.resources[event["resource"]] = event["status"]

    def _take_message(self, row: Row, text: str, now: float) -> str | None:
        _begin(row, now)
        if text == DELETED:
            _set_status(row, "DELETE_COMPLETE", now)
            return None
        if UNCHANGED.fullmatch(text):
            row.ended = now
            return None
        for pattern, doing in ROUTINE.items():
            if re.fullmatch(pattern, text):
                if doing is not None:
                    row.doing = doing
                if doing == "":
                    self.build_output.clear()
                return None
        if row.doing in BUILDING:
            self.build_output.append(text)
            return None
        return f"{row.name}: {text}"

    def expect(self, name: str, total: int) -> None:
        """Take in how many resources a stack has before anything happens to it."""
        with self._lock:
            self._rows[name].total = total

    def look(self, name: str, status: str, resources: Mapping[str, str], total: int, now: float) -> None:
        """Take in what CloudFormation says of a stack that Sceptre has begun with."""
        with self._lock:
            row = self._rows[name]
            # Before an update begins, its status is that of the launch before it.
            if not status.endswith("IN_PROGRESS") and not row.in_progress:
                return
            row.resources = dict(resources)
            row.total = max(row.total, total, len(resources))
            _set_status(row, status, now)

    def active(self) -> list[str]:
        """Return the stacks that Sceptre has begun with, and that have not ended."""
        with self._lock:
            return [row.name for row in self._rows.values() if row.started is not None and row.ended is None]

    def lines(self, now: float) -> list[tuple[str, str, str, str, str]]:
        """Return for each stack its name, its state, how many resources are done, the seconds, and what goes on."""
        with self._lock:
            return [
                (row.label, _state(row), _count(row), _seconds(row, now), self._detail(row))
                for row in self._rows.values()
            ]

    def _detail(self, row: Row) -> str:
        if row.ended is not None:
            return ""
        if row.started is None:
            others = [
                self._rows[name].label for name in row.after if name in self._rows and self._rows[name].ended is None
            ]
            # Sceptre looks every few seconds whether what is before it has ended.
            return f"waits for {_some(others)}" if others else "is next"
        busy = [name for name, status in row.resources.items() if status.endswith("IN_PROGRESS")]
        return row.doing or _some(busy)


def _begin(row: Row, now: float) -> None:
    if row.started is None:
        row.started = now


def _set_status(row: Row, status: str, now: float) -> None:
    if row.ended is not None:
        return
    row.status = status
    if not row.in_progress:
        row.ended = now
        row.total = max(row.total, len(row.resources))


def _state(row: Row) -> str:
    if row.failed:
        return "failed"
    if row.ended is not None and not row.status:
        return "unchanged"
    if not row.status:
        return "waiting" if row.started is None else "preparing"
    return WORDS.get(row.status, row.status.lower().replace("_", " "))


def _count(row: Row) -> str:
    if not row.total or (not row.status and row.ended is None):
        return ""
    if row.status.startswith("DELETE"):
        left = [status for status in row.resources.values() if status != "DELETE_COMPLETE"]
        done = row.total if row.status == "DELETE_COMPLETE" else row.total - len(left)
    else:
        done = sum(status in {"CREATE_COMPLETE", "UPDATE_COMPLETE"} for status in row.resources.values())
        done = row.total if row.ended is not None and not row.failed else done
    return f"{done} of {row.total}"


def _seconds(row: Row, now: float) -> str:
    if row.started is None:
        return ""
    return f"{(now if row.ended is None else row.ended) - row.started:.0f} s"


def _some(names: Sequence[str]) -> str:
    """Return names for one line: all, or the first two and how many there are beside them."""
    shown = 2
    if len(names) <= shown + 1:
        return ", ".join(names)
    return f"{', '.join(names[:shown])} and {len(names) - shown} more"

"""What happened in an environment, for the marks in the charts: found in what AWS tells, and kept for a while."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spotfleet.local.daemon.environment_status import Machine
from spotfleet.local.host import clock

KEPT = 200
# In why a group has taken a machine out. One without tasks goes so soon that no look need have seen its notice itself.
NOTICE = "Spot interruption notice"
# With which a group's reasons begin: events have their own time.
MOMENT = re.compile(r"^At \d\S+ ")
# What ECS says of the end of a deployment.
ENDS = {"COMPLETED": ("deployed", "is complete"), "FAILED": ("failed", "has failed")}

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """Something that happened: when, in seconds since 1970, what kind of thing, and what and why in words.

    `kind` is deployment, deployed, failed, scaling, came, draining, gone or notice.
    """

    time: float
    kind: str
    what: str
    why: str = ""


# By what makes an event the same one when it is found again.
Found = dict[tuple[str, str], Event]


class Log:
    """The events of an environment: each once, the newest ones."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._kept: Found = {}
        self._seen: set[tuple[str, str]] = set()

    def add(self, found: Found, since: float) -> None:
        """Keep what is new, and forget what was before a moment."""
        together = self._kept | {key: event for key, event in found.items() if key not in self._seen}
        lasting = [(key, event) for key, event in together.items() if event.time >= since]
        self._kept = dict(sorted(lasting, key=lambda item: item[1].time)[-self._most :])
        # AWS goes on telling of what is forgotten here, a deployment for instance with a later time: it is not new.
        self._seen = self._kept.keys() | found.keys()

    def as_json(self) -> list[dict[str, Any]]:
        """Return the events, oldest first."""
        return [asdict(event) for event in self._kept.values()]


def of_deployments(service: str, deployments: Iterable[Record]) -> Found:
    """Return when the deployments of a service began and ended, as DescribeServices tells."""
    found: Found = {}
    for item in deployments:
        what = f"{service}: deployment of {str(item['taskDefinition']).rpartition('/')[2]}"
        found["deployment", item["id"]] = Event(item["createdAt"].timestamp(), "deployment", f"{what} begins")
        if item.get("rolloutState") in ENDS:
            kind, ending = ENDS[item["rolloutState"]]
            why = str(item.get("rolloutStateReason", ""))
            found[kind, item["id"]] = Event(item["updatedAt"].timestamp(), kind, f"{what} {ending}", why)
    return found


def of_scaling(service: str, activities: Iterable[Record]) -> Found:
    """Return how a service was scaled, and by which reason, as DescribeScalingActivities tells."""
    return {
        ("scaling", item["ActivityId"]): Event(
            item["StartTime"].timestamp(), "scaling", f"{service}: {item.get('Description', '')}", item.get("Cause", "")
        )
        for item in activities
    }


def of_machines(
    before: Sequence[Machine], after: Sequence[Machine], activities: Sequence[Record], moment: float
) -> Found:
    """Return which machines came, went, drain, or have got their Spot notice between two looks.

    `activities` are those of their groups, which know the reasons.
    """
    was, now = ({item.id: item for item in machines} for machines in (before, after))
    found: Found = {}
    for machine in after:
        old, words = was.get(machine.id), _words(machine)
        if old is None:
            found["came", machine.id] = Event(
                moment, "came", f"{words} comes", _reason(machine, "Launching", activities)
            )
        if machine.notice is not None and (old is None or old.notice is None):
            left = clock.aws_seconds(machine.notice - moment)
            why = f"EC2 takes it back in {max(0, left):.0f} s of AWS's time"
            found["notice", machine.id] = Event(moment, "notice", f"{words} has its Spot notice", why)
        if machine.draining and not (old and old.draining):
            why = _reason(machine, "Terminating", activities)
            found["draining", machine.id] = Event(moment, "draining", f"{words} drains", why)
    for machine in before:
        if machine.id not in now:
            why = _reason(machine, "Terminating", activities)
            if NOTICE in why and machine.notice is None:
                found["notice", machine.id] = Event(moment, "notice", f"{_words(machine)} has its Spot notice")
            found["gone", machine.id] = Event(moment, "gone", f"{_words(machine)} is gone", why)
    return found


def _words(machine: Machine) -> str:
    return f"{machine.kind} machine {machine.id} ({machine.type}, {machine.zone})"


def _reason(machine: Machine, beginning: str, activities: Sequence[Record]) -> str:
    """Return why an Auto Scaling group has launched or terminated a machine; nothing when it does not say."""
    for item in activities:
        description = item.get("Description", "")
        if description.startswith(beginning) and machine.id in description:
            return MOMENT.sub("", str(item.get("Cause", "")))
    return ""

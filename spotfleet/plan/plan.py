"""A plan: all that can be known of a launch before its first call that changes something."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from spotfleet.plan import bill, changes, freshness, notices, prices, refused, rolls, shutdown_budget, survival
from spotfleet.plan.bill import Bill
from spotfleet.plan.changes import Change, StackChange
from spotfleet.plan.conditional_properties import Does
from spotfleet.plan.configurations import Configuration, Looked
from spotfleet.plan.notices import Notice
from spotfleet.plan.rolls import Roll
from spotfleet.plan.survival import Loss
from spotfleet.stacks.living_changes import Deployed


@dataclass(frozen=True)
class Plan:
    """What a launch does, what it costs, and what the environment survives afterwards.

    `looked_up` are the parameters whose value the launch finds out; `remarks` is what one should know of the plan.
    """

    environment: str
    compared_with: str
    stacks: tuple[StackChange, ...]
    refusals: tuple[str, ...]
    bill_before: Bill | None
    bill_after: Bill | None
    budget: tuple[shutdown_budget.Line, ...]
    rolls: tuple[Roll, ...] = ()
    losses: tuple[Loss, ...] = ()
    looked_up: tuple[str, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @property
    def noticed(self) -> Notice:
        """What is noticed most, of the changes of resources and of what rolls."""
        found = [notices.of(one) for stack in self.stacks for one in stack.changed]
        for roll in self.rolls:
            if roll.refused is None:
                found.append(Notice(notices.REFUSED, f"where the roll of {roll.what} stands still"))
            elif roll.refused[-1] > 0:
                seconds = round(roll.refused[0]), round(roll.refused[-1])
                found.append(Notice(notices.REFUSED, f"while the {roll.what} roll", seconds))
        return notices.worst(found)


def make(
    before: Configuration, after: Configuration, deployed: Deployed | None = None, said: Sequence[str] = ()
) -> Plan:
    """Return the plan of a launch; `deployed` is what AWS tells of it, and `said` comes before the other remarks."""
    stacks = changes.between(before, after)
    changed = [one for stack in stacks for one in stack.changed]
    return Plan(
        environment=after.environment,
        compared_with=before.source,
        stacks=tuple(stacks),
        refusals=tuple(refused.refusals(before, after, changed, deployed)),
        bill_before=bill.of(before.settings, before.services.values()) if before.settings else None,
        bill_after=bill.of(after.settings, after.services.values()) if after.settings else None,
        budget=tuple(shutdown_budget.lines(after)),
        rolls=tuple(rolls.of(before, after, stacks)),
        losses=tuple(survival.of(after)),
        looked_up=tuple(_looked_up(before, after)),
        remarks=(
            *said,
            *_of_tags(before, after),
            *refused.remarks(before, after, deployed),
            *freshness.remarks(datetime.now(UTC).date()),
        ),
    )


def _looked_up(before: Configuration, after: Configuration) -> list[str]:
    """Say which parameters a launch looks up, and what comes of another value."""
    found = []
    for layer, version in after.stacks.items():
        for name, given in version.parameters.items():
            if not isinstance(given, Looked):
                continue
            if given.open:
                found.append(
                    f"{layer}.{name}: the newest {given.what} at the launch; another one replaces its machines"
                )
            elif given.what.startswith("image ") and not before.image_is_known and layer in before.stacks:
                found.append(f"{layer}.{name}: the image of the source as it is now; a changed one replaces the tasks")
    return found


def _of_tags(before: Configuration, after: Configuration) -> list[str]:
    if not before.stacks or before.tags == after.tags:
        return []
    names = sorted(key for key in before.tags.keys() | after.tags.keys() if before.tags.get(key) != after.tags.get(key))
    return [f"The tags {', '.join(names)} change on every resource, in place."]


def as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as a program gets it."""
    return {
        "environment": plan.environment,
        "compared_with": plan.compared_with,
        "remarks": list(plan.remarks),
        "looked_up": list(plan.looked_up),
        "refused": list(plan.refusals),
        "noticed": _notice(plan.noticed),
        "stacks": [
            {
                "stack": stack.layer,
                "does": stack.does.name.lower(),
                "resources": [_resource(one) for one in stack.resources],
            }
            for stack in plan.stacks
        ],
        "bill": {
            "prices_of": prices.DATE,
            "before": _bill(plan.bill_before),
            "after": _bill(plan.bill_after),
        },
        "rolls": [_roll(one) for one in plan.rolls],
        "survives": [_loss(one) for one in plan.losses],
        "shutdown_budget": [asdict(line) for line in plan.budget],
    }


def _resource(change: Change) -> dict[str, Any]:
    return {
        "resource": change.resource,
        "type": change.kind,
        "does": change.does.name.lower(),
        "if_looked_up_value_changed": change.open,
        "properties": [asdict(one) for one in change.properties],
        "noticed": _notice(notices.of(change)),
    }


def _roll(roll: Roll) -> dict[str, Any]:
    shown = {key: value for key, value in asdict(roll).items() if key != "timeline"}
    return shown | {
        "fits": not roll.stands_still,
        "timeline": [
            {
                "seconds": round(moment.seconds, 1),
                "machines": moment.machines,
                "waiting_tasks": moment.waiting,
                "tasks": {
                    name: {"old": old, "new": new, "serving": moment.serving[name]}
                    for name, (old, new) in moment.tasks.items()
                },
            }
            for moment in roll.timeline
        ],
    }


def _loss(loss: Loss) -> dict[str, Any]:
    return asdict(loss) | {"is_back_without_spot": loss.is_back_without_spot}


def _notice(notice: Notice) -> dict[str, Any]:
    return {"what": notice.what, "how": notice.how, "seconds": list(notice.seconds) if notice.seconds else None}


def _bill(bill_: Bill | None) -> dict[str, Any] | None:
    if bill_ is None:
        return None
    if bill_.unknown:
        return {"unknown_types": list(bill_.unknown)}
    idle, full, surplus = bill_.range
    return {
        "idle": round(idle, 2),
        "full_scale": round(full, 2),
        "with_surplus_credits": round(surplus, 2),
        "lines": {name: [asdict(line) for line in getattr(bill_, name)] for name in ("idle", "full", "surplus")},
    }


def counts(stack: StackChange) -> dict[Does, int]:
    """Return how many resources of a stack have each thing done to them."""
    found: dict[Does, int] = {}
    for one in stack.resources:
        found[one.does] = found.get(one.does, 0) + 1
    return found

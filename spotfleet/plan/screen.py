"""A plan for people: one screen, coloured where there is a terminal."""

from collections.abc import Iterator

from rich.markup import escape

from spotfleet.plan import notices, prices
from spotfleet.plan.bill import Bill
from spotfleet.plan.changes import Change, StackChange
from spotfleet.plan.conditional_properties import Does
from spotfleet.plan.plan import Plan, counts
from spotfleet.plan.rolls import TASKS, Roll
from spotfleet.plan.survival import Loss

COLOURS = {
    Does.CREATED: "green",
    Does.UPDATED: "cyan",
    Does.ROLLED: "yellow",
    Does.INTERRUPTED: "yellow",
    Does.REPLACED: "red",
    Does.DELETED: "red",
    Does.KEPT: "dim",
    Does.OPEN: "magenta",
}
# Of a stack that is created as a whole, the resources tell nothing more.
SHOWN_PROPERTIES = 3
# Of a roll over time.
SHOWN_STEPS = 10
# Of which the names are enough where nothing is noticed.
QUIET = (Does.CREATED, Does.DELETED)


def lines(plan: Plan, whole_bill: bool = False) -> Iterator[str]:
    """Yield the lines of the screen, in rich's markup."""
    yield f"[bold]{escape(plan.environment)}[/], compared with {escape(plan.compared_with)}"
    yield from (escape(text) for text in plan.remarks)
    if plan.refusals:
        yield ""
        yield "[bold red]A launch refuses this, and touches nothing[/]"
        yield from (f"  [red]x[/] {escape(text)}" for text in plan.refusals)
    yield ""
    yield "[bold]What becomes of the stacks[/]"
    for stack in plan.stacks:
        yield from _stack(stack)
    for text in plan.looked_up:
        yield f"  [magenta]open[/]  {escape(text)}"
    yield ""
    yield "[bold]What rolls[/]"
    for roll in plan.rolls:
        yield from _roll(roll)
    if not plan.rolls:
        yield "  neither tasks nor machines"
    yield ""
    yield "[bold]What it survives afterwards[/], lost at once and without notice where none is named"
    for full, title in ((False, "with the fewest tasks"), (True, "at full scale")):
        yield f"  {title}"
        yield from (_loss(loss) for loss in plan.losses if loss.full_scale is full)
    yield ""
    yield "[bold]How a task ends, in seconds[/]"
    for line in plan.budget:
        mark = "[green]ok[/]" if line.holds else "[red]no[/]"
        otherwise = "" if line.holds else f"; else {line.otherwise}"
        yield f"  {mark}  {line.service}: {escape(line.what)}: {escape(line.arithmetic)}{escape(otherwise)}"
    yield ""
    yield from _bills(plan, whole_bill)


def _stack(stack: StackChange) -> Iterator[str]:
    parts = ", ".join(f"{count} {does}" for does, count in counts(stack).items())
    yield f"  [{COLOURS[stack.does]}]{stack.does.value:<16}[/] {stack.layer:<16} {parts}"
    if stack.does is Does.CREATED:
        return
    if stack.does is Does.DELETED:
        yield "    its file is gone: a launch leaves it as it is, until `sceptre delete`"
    quiet = [one for one in stack.changed if one.does in QUIET and notices.of(one).what == notices.NOTHING]
    for does in QUIET:
        names = ", ".join(one.resource for one in quiet if one.does is does)
        if names:
            yield f"    [{COLOURS[does]}]{does.value}[/] {names}; noticed: nothing"
    for change in stack.changed:
        if change not in quiet:
            yield from _change(change)


def _change(change: Change) -> Iterator[str]:
    condition = " if what is looked up has changed" if change.open else ""
    notice = notices.of(change)
    seconds = f" for about {notice.seconds[0]} to {notice.seconds[1]} s" if notice.seconds else ""
    noticed = f"{notice.what}{seconds}{f': {notice.how}' if notice.how else ''}"
    yield (
        f"    [{COLOURS[change.does]}]{change.does.value}{condition}[/] {change.resource} ({change.kind}); "
        f"noticed: {escape(noticed)}"
    )
    for one in change.properties[:SHOWN_PROPERTIES]:
        values = f" {one.before} -> {one.after}" if one.before != one.after else ""
        yield f"      {escape(one.path)}{escape(values)}"
    if len(change.properties) > SHOWN_PROPERTIES:
        yield f"      and {len(change.properties) - SHOWN_PROPERTIES} more"


def _roll(roll: Roll) -> Iterator[str]:
    scale = "at full scale" if roll.full_scale else "with the fewest tasks"
    condition = ", if what is looked up has changed" if roll.if_looked_up else ""
    names = f" of {', '.join(roll.services)}" if roll.what == TASKS else ""
    takes = "never ends" if roll.seconds is None else f"takes {_range(roll.seconds)}"
    yield f"  [bold]{roll.what}[/]{escape(names)} {scale}{condition}: {takes}"
    above = roll.highest_machines - roll.max_machines
    more = f" ({above} above it, until the replaced one is gone)" if above > 0 else ""
    yield (
        f"    at once at most {roll.highest_tasks} tasks and {roll.highest_machines} machines of max_machines "
        f"{roll.max_machines}{more}; at least {roll.fewest_serving} tasks of each service serve"
    )
    if roll.refused is None or roll.refused[-1] > 0:
        refused = "from then on" if roll.refused is None else f"for {_range(roll.refused)}"
        yield f"    [red]requests refused {refused}[/]"
    if roll.halted is None or roll.halted[-1] > 0:
        halted = "from then on" if roll.halted is None else f"for {_range(roll.halted)}"
        yield f"    [red]the work of workers stands still {halted}[/]"
    if roll.stands_still:
        fits = f"; it fits with {roll.fits_with}" if roll.fits_with else ""
        yield f"    [red]stands still[/] {escape(roll.stands_still + fits)}"
    yield f"    {escape(_timeline(roll))}"


def _timeline(roll: Roll) -> str:
    """Return the old and new tasks over time, in a few steps: of many, those in the middle are left out."""
    steps: list[str] = []
    for moment in roll.timeline:
        if roll.what == TASKS:
            old, new = (sum(moment.tasks[name][index] for name in roll.services) for index in (0, 1))
            step = f"{old} old {new} new"
        else:
            step = f"{moment.machines} machines"
        if not steps or steps[-1].partition(": ")[2] != step:
            steps.append(f"{moment.seconds:.0f} s: {step}")
    if len(steps) > SHOWN_STEPS:
        half = SHOWN_STEPS // 2
        steps = [*steps[:half], "…", *steps[-half:]]
    return ", ".join(steps)


def _loss(loss: Loss) -> str:
    if loss.refused is None:
        refused = "[red]all requests refused until somebody acts[/]"
    elif loss.refused[-1] > 0:
        refused = f"[red]all requests refused for {_range(loss.refused)}[/]"
    elif loss.failing[-1] > 0:
        refused = f"{loss.failing_percent} % of the requests fail for {_range(loss.failing)}"
    else:
        refused = "no request refused"
    if loss.halted is None:
        refused += "; [red]the work of workers stands still until somebody acts[/]"
    elif loss.halted[-1] > 0:
        refused += f"; [red]the work of workers stands still for {_range(loss.halted)}[/]"
    back = "never whole again" if loss.back is None else f"whole again after {_range(loss.back)}"
    if loss.is_back_without_spot:
        without = "without Spot capacity too"
    else:
        without = f"without Spot capacity {loss.without_spot} of {loss.tasks} tasks"
    return f"    {escape(loss.what):<34} {refused}; {back}; {without}"


def _range(seconds: tuple[float, float, float]) -> str:
    least, typical, most = (round(one) for one in seconds)
    return f"{typical} s" if least == most else f"{typical} s ({least} to {most})"


def _bills(plan: Plan, whole_bill: bool) -> Iterator[str]:
    where = f"list prices of eu-west-1, as of {prices.DATE}"
    yield f"[bold]What it costs, $ a month[/] ({where}; traffic and logs come on top)"
    for name, bill in (("before", plan.bill_before), ("after", plan.bill_after)):
        if bill is None:
            continue
        if bill.unknown:
            yield f"  {name:<7} not known: no price here for {', '.join(bill.unknown)}"
            continue
        idle, full, surplus = bill.range
        credits_ = f", {surplus:.2f} with every CPU busy all month" if surplus > full else ""
        yield f"  {name:<7} {idle:.2f} idle, {full:.2f} at full scale{credits_}"
        if whole_bill:
            yield from _lines_of(bill)


def _lines_of(bill: Bill) -> Iterator[str]:
    for title, own in (("idle", bill.idle), ("full scale", bill.full), ("on top", bill.surplus)):
        for line in own:
            yield f"    {title:<11} {line.dollars:>9.2f}  {escape(line.what)}"

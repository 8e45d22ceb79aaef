"""What the Auto Scaling group does in a simulation at one moment: launch, refresh, end and scale machines."""

from collections.abc import Iterable

from spotfleet.behaviour import delays, fleet_mix, instance_refresh, machine_losses, placement, rolling_update
from spotfleet.plan.moving import NEVER, Machine
from spotfleet.plan.state import MINUTE, State


def renew(state: State) -> bool:
    """Launch what the group misses, and take a refresh one step further."""
    changed = _refresh(state) if state.refreshing else False
    for machine in state.machines.values():
        # ECS lets a machine go that drains and is empty.
        if machine.leaving and machine.ended is None and not state.on(machine.id):
            machine.ended = state.now
            machine.gone = state.now + state.pace.of(delays.MACHINE_ENDED)
            state.at(machine.gone)
            changed = True
    missing = state.desired - len(members(state))
    pending = sum(machine.joins > state.now for machine in state.machines.values())
    if any(machine.leaving and not machine.outdated for machine in state.machines.values()) and missing > 0:
        # Ended ones are replaced a tenth of the group at a time, one at least (rule G3).
        missing = len(machine_losses.replaced_now([""] * missing, state.desired, pending))
    return launch(state, missing) or changed


def members(state: State) -> list[Machine]:
    """Return the machines that count for the size of the group."""
    return [
        machine
        for machine in state.machines.values()
        if not machine.succeeded and not (machine.leaving and (machine.ended is None or machine.outdated))
    ]


def launch(state: State, count: int, joined: bool = False) -> bool:
    """Launch machines, or let them have joined before; return whether there was one to launch."""
    there = members(state)
    spot = sum(machine.spot for machine in there)
    kinds = fleet_mix.launches(state.group.distribution, len(there) - spot, spot, max(0, count))
    launched = False
    for is_spot, number in zip((False, True), kinds, strict=True):
        for _ in range(0 if is_spot and state.no_spot and not joined else number):
            zone = fleet_mix.zones_by_members(state.group.zones, [one.zone for one in members(state)])[0]
            state.count += 1
            type_ = state.group.smallest if is_spot else state.group.types[0]
            joins = -1.0 if joined else state.now + state.pace.of(delays.BOOT)
            machine = Machine(f"m{state.count}", type_, zone, is_spot, joins)
            state.machines[machine.id] = machine
            if not joined:
                state.youngest = state.now
                state.at(joins, joins + state.group.warmup)
            launched = True
    return launched


def scale(state: State) -> bool:
    """Let managed scaling add machines for tasks that wait, as of the last minute that it can read."""
    readable = state.now - state.pace.of(delays.RESERVATION_PUBLISHED) - state.pace.of(delays.RESERVATION_LOOKED_AT)
    waiting = [task for task in state.waiting() if task.asked <= readable]
    if not state.group.managed or not waiting or state.now % MINUTE:
        return False
    rooms = [state.room(one) for one in state.machines.values() if state.takes_tasks(one)]
    largest, smallest = (state.group.machine("", name, "") for name in (state.group.largest, state.group.smallest))
    needed = placement.machines_needed(rooms, [task.service.need for task in waiting], largest, smallest)
    running = max(1, len(rooms))
    wanted = max(state.desired, state.group.wanted(needed, running, state.desired, state.now - state.youngest))
    changed = wanted != state.desired
    state.desired = wanted
    return changed


def _refresh(state: State) -> bool:
    if state.group.refreshes:
        known = [
            instance_refresh.Member(
                one.id,
                NEVER if one.outdated else (state.now - one.joins if one.joins <= state.now else None),
                one.outdated,
                one.succeeded,
                one.leaving,
            )
            for one in state.machines.values()
        ]
        preferences = instance_refresh.Preferences(100, 100, state.group.warmup)
        step = instance_refresh.next_step(known, preferences, state.desired)
        return _apply(state, step.succeed, step.end)
    there = [one for one in state.machines.values() if not one.leaving]
    rolled = [
        rolling_update.Member(one.id, NEVER if one.outdated else state.now - one.joins, not one.outdated, True)
        for one in there
    ]
    policy = rolling_update.Policy(state.group.least, 1, state.group.warmup)
    if any(one.leaving for one in state.machines.values()):
        return False
    todo = rolling_update.next_step(rolled, policy, state.desired, state.group.most, state.desired_before)
    if todo.capacity is not None and todo.capacity != state.desired:
        state.desired = todo.capacity
        return True
    if todo.end:
        state.desired -= len(todo.end)
    return _apply(state, (), (*todo.replace, *todo.end))


def _apply(state: State, succeeded: Iterable[str], ended: Iterable[str]) -> bool:
    changed = False
    for name in succeeded:
        state.machines[name].succeeded = True
        changed = True
    for name in ended:
        machine = state.machines[name]
        machine.leaving, machine.draining = True, state.now + state.pace.of(delays.SCHEDULER)
        state.at(machine.draining)
        state.look(state.on(name))
        changed = True
    return changed

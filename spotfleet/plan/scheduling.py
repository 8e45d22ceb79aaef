"""What ECS does in a simulation at one moment: start, place and stop tasks, as spotfleet/behaviour/ decides."""

from collections.abc import Iterable

from spotfleet.behaviour import delays, placement, rollout, scale_in, spot_notice
from spotfleet.plan.fleet import IMAGE_MIB, Service
from spotfleet.plan.moving import NEVER, Pace, Task
from spotfleet.plan.state import State

# A container's start, from the service's own half second to what a Spot notice reckons with.
START = {"shortest": 1.0, "typical": 2.0, "longest": float(spot_notice.START_SECONDS)}


def schedule(state: State) -> bool:
    """Let ECS look at each service that it sees something else of; return whether it does something."""
    changed = False
    for service in state.services:
        if state.now < state.due.get(service.name, 0):
            continue
        own = list(state.of_service.setdefault(service.name, {}).values())
        for task in own:
            if task.gone + _late(state, task) <= state.now:
                _forget(state, task)
                changed = True
        own = list(state.of_service[service.name].values())
        wanted = rollout.Service(
            service.desired,
            state.primary[service.name],
            service.minimum_percent,
            service.maximum_percent,
            state.kept.get(service.name, {}),
        )
        seen = [_seen(state, task) for task in own]
        step = rollout.next_step(wanted, seen)
        if step.stop:
            order = scale_in.in_order([_placed(state, task) for task in own], service.strategies)
            seen.sort(key=lambda task: order.index(task.id))
            step = rollout.next_step(wanted, seen)
        state.kept[service.name] = rollout.kept_after(wanted.kept, seen, step)
        for id_ in step.stop:
            _stop(state, state.tasks[id_])
        for deployment, count in step.start.items():
            for _ in range(count):
                start(state, service, deployment)
        changed = changed or bool(step.stop or step.start)
        # What it has just done may let it do more at once.
        state.due[service.name] = 0 if step.stop or step.start else _next_change(state, own)
    return changed


def start(state: State, service: Service, deployment: str) -> None:
    """Ask for one more task."""
    state.count += 1
    task = Task(f"{service.name}-{state.count}", service, deployment, state.now)
    state.tasks[task.id] = state.queue[task.id] = state.of_service.setdefault(service.name, {})[task.id] = task


def place(state: State) -> bool:
    """Place the tasks that wait where there is room; return whether there was."""
    changed = False
    waiting = state.waiting()
    if not waiting:
        return False
    rooms = [state.room(machine) for machine in state.machines.values() if state.takes_tasks(machine)]
    # Of tasks alike, the first that finds no room speaks for the others.
    without: set[placement.Need] = set()
    for task in waiting:
        if task.service.need in without:
            continue
        found = placement.choose(task.service.need, rooms, task.service.strategies)
        if found is None:
            without.add(task.service.need)
            continue
        rooms = [room.with_task(task.service.need) if room is found else room for room in rooms]
        task.machine = found.id
        del state.queue[task.id]
        state.there.setdefault(found.id, {})[task.id] = task
        state.look([task])
        task.runs = _pulled_at(state, found.id, task) + START[state.pace.value]
        task.healthy = task.runs + _registered(state, task.service)
        passed = max(task.healthy, task.runs + task.service.container_check)
        task.noticed = passed + state.pace.of(delays.SCHEDULER)
        state.at(task.runs, task.healthy, task.noticed)
        changed = True
    return changed


def _forget(state: State, task: Task) -> None:
    del state.tasks[task.id], state.of_service[task.service.name][task.id]
    state.queue.pop(task.id, None)
    state.there.get(task.machine or "", {}).pop(task.id, None)


def _next_change(state: State, tasks: Iterable[Task]) -> float:
    """Return when ECS sees something else of a service's tasks, as far as it is known yet."""
    moments = [
        moment
        for task in tasks
        for moment in (task.runs, task.noticed, task.failing, task.gone + _late(state, task), _drains(state, task))
        if moment > state.now
    ]
    return min(moments, default=NEVER)


def _drains(state: State, task: Task) -> float:
    machine = state.machines.get(task.machine or "")
    return machine.draining if machine else NEVER


def _late(state: State, task: Task) -> float:
    return state.pace.of(delays.SCHEDULER) if task.gone < NEVER and task.machine else 0.0


def _seen(state: State, task: Task) -> rollout.Task:
    if task.stopped is not None:
        seen = rollout.State.STOPPING
    elif task.failing <= state.now:
        seen = rollout.State.FAILING
    elif task.noticed <= state.now:
        seen = rollout.State.HEALTHY
    else:
        seen = rollout.State.RUNNING if task.runs <= state.now else rollout.State.STARTING
    machine = state.machines.get(task.machine or "")
    return rollout.Task(task.id, task.deployment, seen, bool(machine and machine.draining <= state.now))


def _placed(state: State, task: Task) -> scale_in.Placed:
    machine = state.machines.get(task.machine or "")
    if machine is None:
        return scale_in.Placed(task.id, "", "")
    room = state.room(machine)
    return scale_in.Placed(task.id, machine.id, machine.zone, machine.type, room.cpu, room.memory)


def _stop(state: State, task: Task) -> None:
    task.stopped = state.now
    state.queue.pop(task.id, None)
    ends = task.service.stop[1] if state.pace is Pace.LONGEST else task.service.stop[0]
    if task.machine is None or task.lost is not None:
        task.gone = state.now
    elif task.runs <= state.now:
        task.gone = state.now + task.service.deregistration + ends
    else:
        task.gone = state.now + ends
    state.at(task.gone, task.gone + state.pace.of(delays.SCHEDULER))


def _registered(state: State, service: Service) -> float:
    """Return how long it takes until the load balancer sends a task that runs requests; of a worker, nothing."""
    if not service.web:
        return 0
    checks = service.interval if state.pace is Pace.LONGEST else 0
    return state.pace.of(delays.TARGET_REGISTERED) + checks


def _pulled_at(state: State, machine: str, task: Task) -> float:
    """Return when a machine has a release's image: its first task of it waits for the pull (rule E10)."""
    key = (machine, f"{task.service.name} {task.deployment}")
    if key not in state.pulled:
        start, each = state.pace.of(delays.IMAGE_PULL_START), state.pace.of(delays.IMAGE_PULL_MEBIBYTE)
        state.pulled[key] = state.now + delays.image_pull(start, each, IMAGE_MIB)
    return max(state.now, state.pulled[key])

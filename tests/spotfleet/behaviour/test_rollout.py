"""Which tasks ECS starts and stops: the worked examples of rules E1, E2, E9 and E13."""

import heapq
from dataclasses import replace

import pytest

from spotfleet.behaviour.rollout import Service, State, Step, Task, is_done, kept_after, next_step


def of(deployment: str, *states: State, **more: bool) -> list[Task]:
    """Return tasks of a deployment, named after it and their place."""
    return [Task(f"{deployment}{number}", deployment, state, **more) for number, state in enumerate(states)]


HEALTHY, STARTING, RUNNING = State.HEALTHY, State.STARTING, State.RUNNING
FAILING, STOPPING = State.FAILING, State.STOPPING


@pytest.mark.parametrize(
    ("desired", "minimum", "stops"),
    [(4, 50, 2), (2, 75, 0), (3, 66, 1)],
)
def test_old_tasks_stop_at_once_down_to_the_minimum(desired: int, minimum: int, stops: int) -> None:
    service = Service(desired, "new", minimum, 100, {"old": desired})
    step = next_step(service, of("old", *[HEALTHY] * desired))
    assert (len(step.stop), step.start) == (stops, {})


@pytest.mark.parametrize(("desired", "starts"), [(3, {}), (4, {"new": 1})])
def test_new_tasks_start_up_to_the_maximum(desired: int, starts: dict[str, int]) -> None:
    service = Service(desired, "new", 100, 125, {"old": desired})
    step = next_step(service, of("old", *[HEALTHY] * desired))
    assert step == Step(starts, (), stuck=not starts)


def rolled(service: Service, old: int, healthy_after: list[float], stopping: float) -> tuple[list[float], float, int]:
    """Return when old tasks began to leave, when the last was gone, and the most tasks that were ever healthy.

    New tasks get healthy so long after their start, one after the other; what stops is gone `stopping` later.
    """
    tasks = {task.id: task for task in of("old", *[HEALTHY] * old)}
    events: list[tuple[float, str, State | None]] = []
    left, gone, most, started = [], 0.0, 0, 0
    now = 0.0
    while True:
        step = next_step(service, list(tasks.values()))
        service = replace(service, kept=kept_after(service.kept, tasks.values(), step))
        for _ in range(step.start.get("new", 0)):
            name = f"new{started}"
            tasks[name] = Task(name, "new", STARTING)
            heapq.heappush(events, (now + healthy_after[min(started, len(healthy_after) - 1)], name, HEALTHY))
            started += 1
        for name in step.stop:
            left.append(now)
            tasks[name] = Task(name, tasks[name].deployment, STOPPING)
            heapq.heappush(events, (now + stopping, name, None))
        most = max(most, sum(task.state is HEALTHY for task in tasks.values()))
        if not events:
            return left, gone, most
        now, name, state = heapq.heappop(events)
        if state is None:
            gone = now
            del tasks[name]
        else:
            tasks[name] = Task(name, "new", state)


def test_what_stops_takes_a_place_until_it_is_gone() -> None:
    left, gone, _most = rolled(Service(4, "new", 100, 125, {"old": 4}), 4, [15], stopping=30)
    assert (left, gone) == ([15, 60, 105, 150], 180)


def test_old_tasks_leave_as_new_ones_get_healthy() -> None:
    left, _gone, most = rolled(Service(3, "new", 100, 200, {"old": 3}), 3, [20, 40, 60], stopping=30)
    assert (left, most) == ([20, 40, 60], 3)


def test_half_of_the_tasks_make_room_for_new_ones_and_do_not_come_back() -> None:
    left, gone, most = rolled(Service(4, "new", 50, 100, {"old": 4}), 4, [15], stopping=30)
    assert (left, gone, most) == ([0, 0, 45, 45], 75, 4)


def test_one_unhealthy_task_at_a_time_makes_room() -> None:
    service = Service(2, "web", 50, 100)
    tasks = of("web", FAILING, FAILING)
    assert next_step(service, tasks) == Step({}, ("web0",))
    going, other = Task("web0", "web", STOPPING), tasks[1]
    assert next_step(service, [going, other]) == Step({}, ())
    assert next_step(service, [other]) == Step({"web": 1}, ())
    for state in (STARTING, RUNNING):
        assert next_step(service, [other, Task("web2", "web", state)]) == Step({}, ())
    assert next_step(service, [other, Task("web2", "web", HEALTHY)]).stop == ("web1",)


def test_a_replacement_comes_first_where_the_maximum_lets_it() -> None:
    service = Service(2, "web")
    failing, good = of("web", FAILING, HEALTHY)
    assert next_step(service, [failing, good]) == Step({"web": 1}, ())
    assert next_step(service, [failing, good, Task("web2", "web", RUNNING)]) == Step({}, ())
    assert next_step(service, [failing, good, Task("web2", "web", HEALTHY)]) == Step({}, ("web0",))
    # It fails as well: one of the two stops, and the next one starts.
    assert next_step(service, [failing, good, Task("web2", "web", FAILING)]) == Step({"web": 1}, ("web0",))


def test_a_lost_task_of_a_superseded_deployment_comes_back_as_it_was() -> None:
    service = Service(2, "new", kept={"old": 2})
    tasks = [*of("old", HEALTHY), *of("new", FAILING, STARTING)]
    assert next_step(service, tasks).start == {"new": 1}
    assert next_step(service, [*of("old", HEALTHY), *of("new", STARTING, RUNNING)]) == Step({"old": 1}, ())
    assert next_step(service, [*of("old", HEALTHY), *of("new", HEALTHY, RUNNING)]) == Step({}, ())


def test_what_never_got_healthy_of_a_superseded_deployment_stops_at_once() -> None:
    service = Service(2, "new", kept={"old": 0})
    assert next_step(service, of("old", STARTING, FAILING)) == Step({"new": 2}, ("old0", "old1"))


def test_a_deployment_that_has_failed_starts_and_stops_nothing() -> None:
    service = Service(2, "new", kept={"old": 2}, failed=True)
    assert next_step(service, [*of("old", HEALTHY, HEALTHY), *of("new", HEALTHY)]) == Step({}, ())


def test_a_rollback_ends_the_failed_deployment() -> None:
    service = Service(2, "old", kept={"bad": 0})
    assert next_step(service, [*of("old", HEALTHY), *of("bad", FAILING, STARTING)]) == Step(
        {"old": 1}, ("bad0", "bad1")
    )


def test_draining_tasks_wait_for_replacements_and_pending_ones_do_not() -> None:
    service = Service(3, "web")
    draining = of("web", HEALTHY, HEALTHY, draining=True)
    pending = Task("pending", "web", STARTING, draining=True)
    assert next_step(service, [*draining, pending]) == Step({"web": 3}, ("pending",))
    counts = []
    for healthy in range(4):
        there = of("next", *[HEALTHY] * healthy, *[STARTING] * (3 - healthy))
        there = [Task(task.id, "web", task.state) for task in there]
        counts.append(len(next_step(service, [*draining, *there]).stop))
    assert counts == [0, 0, 1, 2]


@pytest.mark.parametrize(("minimum", "stops"), [(50, 1), (100, 0)])
def test_draining_without_room_stops_down_to_the_minimum(minimum: int, stops: int) -> None:
    step = next_step(Service(3, "web", minimum, 100), of("web", *[HEALTHY] * 3, draining=True))
    assert (len(step.stop), step.stuck) == (stops, not stops)


def test_too_many_tasks_go_those_without_use_first() -> None:
    tasks = of("web", HEALTHY, RUNNING, STARTING, HEALTHY)
    assert next_step(Service(3, "web"), tasks).stop == ("web2",)
    assert next_step(Service(1, "web"), tasks).stop == ("web2", "web1", "web0")
    assert next_step(Service(0, "web"), tasks).stop == ("web2", "web1", "web0", "web3")


def test_a_task_more_for_another_zone_is_not_too_many_until_it_is_healthy() -> None:
    tasks = of("web", HEALTHY, HEALTHY)
    assert next_step(Service(2, "web"), [*tasks, Task("more", "web", RUNNING, extra=True)]) == Step({}, ())
    assert next_step(Service(2, "web"), [*tasks, Task("more", "web", HEALTHY, extra=True)]) == Step({}, ("web0",))


def test_a_deployment_is_done_when_the_last_old_task_is_gone() -> None:
    service = Service(2, "new", kept={"old": 2})
    new = of("new", HEALTHY, HEALTHY)
    assert is_done(service, new)
    assert not is_done(service, [*new, *of("old", STOPPING)])
    assert not is_done(service, of("new", HEALTHY, RUNNING))
    assert is_done(Service(0, "new"), [])

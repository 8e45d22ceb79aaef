"""Whether tasks end in order when AWS takes the Spot machine under them back.

ECS drains the machine, but stops no task while fewer would serve than `minimumHealthyPercent` says: such a task first
needs a replacement that is healthy at the load balancer
(https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html).
"""

import math
from collections.abc import Iterator

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
NOTICE_SECONDS = 120
# Until the agent has asked for notices and set its machine to draining, every few seconds.
AGENT_SECONDS = 6
# Until ECS acts on a change: 5 to 25 seconds in public logs of service events.
SCHEDULER_SECONDS = 10
# A container's start, on a machine that has its image.
START_SECONDS = 5
ALL = 100  # percent


def problems(
    tasks: int,
    min_healthy_percent: int,
    on_one_machine: int,
    checks: int,
    interval: int,
    deregistration: int | None,
    stop: int,
) -> Iterator[tuple[str, str]]:
    """Yield which setting keeps tasks from ending before their Spot machine does, and what would let them.

    `tasks` run at least, `on_one_machine` of them on one machine; a replacement serves after `checks`. The others are
    seconds; without a load balancer there is no `deregistration`.
    """
    must_serve = math.ceil(tasks * min_healthy_percent / ALL)
    may_stop = tasks - must_serve
    if min_healthy_percent == ALL or (tasks > 1 and may_stop == 0):
        fitting = f"at most {(tasks - 1) * ALL // tasks}" if tasks > 1 else f"below {ALL}"
        yield (
            "min_healthy_percent",
            f"must be {fitting} where tasks can stand on Spot: of min_tasks ({tasks}) it lets none stop before its "
            f"replacement serves, and the machine is gone {NOTICE_SECONDS} s after its notice; or take no Spot, with "
            "on_demand_percent_above_base 100",
        )
        return
    gone = AGENT_SECONDS + SCHEDULER_SECONDS
    words = f"{gone} s until ECS acts"
    if on_one_machine > max(may_stop, 1):
        replaced = START_SECONDS + checks * interval + SCHEDULER_SECONDS
        gone += replaced
        words += (
            f", {replaced} s until replacements serve ({checks} checks, {interval} s apart), for "
            f"min_healthy_percent lets {may_stop} of {on_one_machine} tasks on a machine stop at once"
        )
    most = max(0, NOTICE_SECONDS - gone)
    if deregistration is None:
        if stop > most:
            yield (
                "stop_timeout_seconds",
                f"must be at most {most}: of the {NOTICE_SECONDS} s of a Spot notice go {words}",
            )
    elif gone + deregistration + stop > NOTICE_SECONDS:
        yield (
            "stop_timeout_seconds",
            f"must be at most {most} together with deregistration_delay_seconds ({deregistration}), which it "
            f"follows: of the {NOTICE_SECONDS} s of a Spot notice go {words}",
        )

"""How long AWS takes for what it promises no time for: one table, in AWS's seconds, each with its range.

AWS publishes few of these numbers. Each stands here with what it was measured or worked out from; what is drawn from a
range is drawn by a seed, so that a rehearsal can be repeated. What AWS documents exactly (a Spot notice, a cooldown, a
health check's interval) is no entry of this table: it is in the module that decides by it.
"""

import random
from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """Which end of the ranges a rehearsal uses; `INSTANT` is for unit tests, and no rehearsal."""

    TYPICAL = "typical"
    SLOW = "slow"
    INSTANT = "instant"


@dataclass(frozen=True)
class Delay:
    """What AWS takes time for: as a rule `typical` seconds, and from `shortest` to `longest`; `basis` says whence.

    A limit is how long AWS waits before it gives something up: no rehearsal gives up at once.
    """

    name: str
    typical: float
    shortest: float
    longest: float
    basis: str
    is_limit: bool = False


BOOT = Delay(
    "machine launched until its ECS agent has registered",
    *(75, 45, 120),
    basis="public measurements: 16 s to running, 26 s to SSH; nodes of Kubernetes join in 90 to 120 s: rule G1",
)
IN_SERVICE = Delay(
    "machine launched until its Auto Scaling group has it in service",
    *(30, 20, 60),
    basis="experience; AWS says only that it runs and has passed its checks: rule G2",
)
LOSS_NOTICED = Delay(
    "machine ended until its Auto Scaling group replaces it",
    *(60, 30, 120),
    basis="experience; AWS names no time: rule G3",
)
ZONES_BALANCED = Delay(
    "zones of an Auto Scaling group uneven until it balances them",
    *(120, 60, 300),
    basis="experience; AWS names no time: rule G7",
)
NOTICE_HEEDED = Delay(
    "Spot notice until ECS drains the machine",
    *(2, 1, 6),
    basis="the agent asks each second, in agent/app/agent.go of aws/amazon-ecs-agent: rule E14",
)
SCHEDULER = Delay(
    "change of a task or target until ECS's scheduler acts on it",
    *(10, 5, 25),
    basis="service events in a public log: target registered 16:52:50, the old one leaves 16:53:14: section 0",
)
HEALTH_REPORTED = Delay(
    "container's health check passed or failed until its agent reports it",
    *(10, 0, 20),
    basis="the agent reports health with its metrics, every 20 s, in agent/config of aws/amazon-ecs-agent: rule E3",
)
IMAGE_PULL_START = Delay(
    "image asked for until its layers come",
    *(2, 1, 5),
    basis="estimate: rule E10",
)
IMAGE_PULL_MEBIBYTE = Delay(
    "each compressed MiB of an image",
    *(1 / 30, 1 / 60, 1 / 10),
    basis="estimate; pulls of 3 to 60 s are reported: rule E10",
)
METRIC_PUBLISHED = Delay(
    "minute ended until its metric can be read",
    *(120, 60, 180),
    basis="worked out from AWS's benchmark of 363 s from a step of load to its trigger: rules W1 and T2",
)
FAST_METRIC_PUBLISHED = Delay(
    "20 seconds ended until their metric can be read",
    *(11, 5, 20),
    basis="worked out from AWS's benchmark of 86 s from a step of load to its trigger: rule T12",
)
ALARM_LOOK = Delay(
    "whole minute until an alarm is judged, each time",
    *(30, 0, 59),
    basis="AWS judges each alarm every minute and does not say at which second: rule W2",
)
RESERVATION_PUBLISHED = Delay(
    "minute ended until a capacity provider's reservation can be read",
    *(45, 20, 60),
    basis="a waiting task asks for a machine within 1 to 3 minutes: rule C6",
)
RESERVATION_LOOKED_AT = Delay(
    "capacity provider's reservation readable until managed scaling looks at it",
    *(30, 0, 60),
    basis="its alarm looks once a minute, each at its own second: rule C6",
)
PROVISIONING_GIVEN_UP = Delay(
    "task waits for a machine until ECS stops it",
    *(900, 600, 1800),
    basis="10 to 30 minutes by AWS's blog on cluster auto scaling, as aws/containers-roadmap#2381 has it: rule C10",
    is_limit=True,
)
MACHINE_ENDED = Delay(
    "machine of a group terminated until the group lets go of it",
    *(120, 100, 210),
    basis="experience; terminations of 3 to 5 minutes, draining included, in awslabs/amazon-eks-ami#66: rule F9",
)
TARGET_REGISTERED = Delay(
    "target registered until its first health check",
    *(2, 1, 5),
    basis="experience: rule L1",
)

ALL = (
    BOOT,
    IN_SERVICE,
    LOSS_NOTICED,
    ZONES_BALANCED,
    NOTICE_HEEDED,
    SCHEDULER,
    HEALTH_REPORTED,
    IMAGE_PULL_START,
    IMAGE_PULL_MEBIBYTE,
    METRIC_PUBLISHED,
    FAST_METRIC_PUBLISHED,
    ALARM_LOOK,
    RESERVATION_PUBLISHED,
    RESERVATION_LOOKED_AT,
    PROVISIONING_GIVEN_UP,
    MACHINE_ENDED,
    TARGET_REGISTERED,
)

# How much likelier the typical value is than the ends, as PERT estimates have it.
WEIGHT = 4


def drawn(delay: Delay, mode: Mode, stream: random.Random) -> float:
    """Return a delay in AWS's seconds: one of its range, mostly near the typical one; its far end; or nothing.

    The distribution is PERT's, a beta distribution over three estimates: https://en.wikipedia.org/wiki/PERT_distribution
    """
    if mode is Mode.INSTANT:
        return delay.typical if delay.is_limit else 0.0
    if mode is Mode.SLOW:
        return delay.longest
    width = delay.longest - delay.shortest
    below = 1 + WEIGHT * (delay.typical - delay.shortest) / width
    above = 1 + WEIGHT * (delay.longest - delay.typical) / width
    return delay.shortest + width * stream.betavariate(below, above)


def image_pull(start: float, each_mebibyte: float, mebibytes: float) -> float:
    """Return how long an image takes to come whose compressed layers have this size, from the two delays drawn for it.

    By the typical ones an image of 90 MiB takes 5 s (rule E10).
    """
    return start + each_mebibyte * mebibytes

"""Holds the tasks of each machine to what the machine has as a whole: its vCPUs, its CPU credits, its memory.

Plays the parts of EC2 (credits, rules B1 to B6) and of the machine's kernel (rules M2 and M3). CPU use is a rate, in
vCPUs, and requests and their work are real at any LOCAL_SPEED: a task that uses a quarter of a vCPU does so here and on
AWS. Time is AWS's: a machine is charged for that rate times the AWS minutes that have passed, so at LOCAL_SPEED=10 a
real second of one full vCPU costs a sixth of a credit, and ten AWS seconds' worth is earned meanwhile.

A machine's account begins with nothing as its agent registers: its boot, some 15 vCPU-seconds, uses up what it earns.
Limits are set with Docker's update of a container. A machine at ease is measured each AWS minute, one near its limits
each real second.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from spotfleet.behaviour import burstable_credits, machine_limits
from spotfleet.behaviour.burstable_credits import Account, Rates
from spotfleet.behaviour.machine_life import agent_settings, cpu_period
from spotfleet.behaviour.machine_limits import Container
from spotfleet.behaviour.record import Record
from spotfleet.behaviour.usage import CPU_UNITS, MEBIBYTE, Use
from spotfleet.facts import instance_types
from spotfleet.local import controller
from spotfleet.local.api import clients, embedded_aws, metrics_store
from spotfleet.local.api.clients import pages
from spotfleet.local.api.ecs import read_clusters, read_container_instances, read_tasks
from spotfleet.local.controllers.container_limits import Containers
from spotfleet.local.host import clock

logger = logging.getLogger("spotfleet.machine_limits")

# Real seconds after which machines are looked for when all of them are at ease.
AT_EASE_SECONDS = 2.0
MICROSECONDS = 1000
GROUP_TAG = "aws:autoscaling:groupName"
# What the kernel weighs a container with that asks for no CPU.
FEWEST_SHARES = 2
KILLED = 137


@dataclass
class Book:
    """What is kept of a machine between two measurements.

    `period` is its agent's, in microseconds; `used` are the credits used since the last point of its metrics, when the
    account was `at_point`. Of its containers it knows the use at the last measurement, and the limit that Docker has.
    """

    id: str
    group: str
    type: str
    period: int
    rates: Rates
    account: Account
    measured: float
    at_point: Account
    tasks: int = 0
    near: bool = True
    allowed: float = 0.0
    used: float = 0.0
    uses: dict[str, Use] = field(default_factory=dict)
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def has_credits(self) -> bool:
        """Whether the machine's type earns and uses them."""
        return instance_types.is_burstable(self.type)

    def is_due(self, tasks: int, now: float) -> bool:
        """Return whether the machine is to be measured; `tasks` is how many run on it."""
        return self.near or tasks != self.tasks or now - self.measured >= clock.seconds(metrics_store.MINUTE)


@dataclass(frozen=True)
class Running:
    """A container that runs, and its task; `limit` says what it weighs, and its own limit.

    `size_mib` is the memory that the containers of its task share, if the task has a size.
    """

    id: str
    name: str
    task: str
    limit: Container
    size_mib: float = float("inf")


# By region and id. Kept here, because a controller that dies starts again as a new object.
_books: dict[tuple[str, str], Book] = {}


def credits_of(region: str, machine: str) -> dict[str, Any] | None:
    """Return a machine's CPU credits for a program; None where it has none, or has not joined.

    `dollars` is what AWS would bill if it ended now.
    """
    book = _books.get((region, machine))
    if book is None or not book.has_credits:
        return None
    return {
        "mode": book.account.mode,
        "balance": round(book.account.balance, 2),
        "surplus": round(book.account.surplus, 2),
        "vcpus": book.rates.vcpus,
        "allowed_vcpus": round(book.allowed, 3),
        "dollars": round(burstable_credits.dollars(burstable_credits.settled(book.account), book.type), 4),
    }


class MachineLimits(controller.Controller):
    """Limits the containers of every machine, keeps its credits, and publishes them."""

    name = "machine-limits"
    interval = 1.0

    def __init__(self, containers: Containers | None = None) -> None:
        self._containers = containers or Containers()
        self._definitions: dict[str, Record] = {}
        self._looked = 0.0
        self._period = _period(time.time())

    def step(self) -> None:
        """Measure the machines that are due, and limit their containers anew."""
        now = time.time()
        if now - self._looked < AT_EASE_SECONDS and not any(map(_is_tight, _books.values())):
            return
        self._looked = now
        present = set()
        for region in embedded_aws.regions():
            ecs = clients.client("ecs", region)
            for cluster in read_clusters(ecs):
                joined = read_container_instances(ecs, [cluster["clusterName"]])
                present |= {(region, machine) for machine in joined}
                self._look_at(region, cluster["clusterName"], joined, now)
        for place in set(_books) - present:
            _close(_books.pop(place))
        if _period(now) != self._period:
            _publish(self._period)
            self._period = _period(now)

    def close(self) -> None:
        """Close the connection to Docker; the containers go with their server."""
        self._containers.close()

    def _look_at(self, region: str, cluster: str, joined: Mapping[str, Record], now: float) -> None:
        for machine in set(joined) - {known for place, known in _books if place == region}:
            _books[region, machine] = _opened(region, machine, now)
        due = {
            record["containerInstanceArn"]: _books[region, machine]
            for machine, record in joined.items()
            if _books[region, machine].is_due(record["runningTasksCount"], now)
        }
        if not due:
            return
        ecs = clients.client("ecs", region)
        running: dict[str, list[Record]] = defaultdict(list)
        for task in read_tasks(ecs, cluster):
            if task["lastStatus"] == "RUNNING":
                running[task.get("containerInstanceArn", "")].append(task)
        for arn, book in due.items():
            tasks = running[arn]
            book.tasks = len(tasks)
            self._measure(ecs, book, [one for task in tasks for one in self._running(ecs, task)])

    def _running(self, ecs: clients.Client, task: Record) -> Iterator[Running]:
        arn = task["taskDefinitionArn"]
        if arn not in self._definitions:
            self._definitions[arn] = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        definition = self._definitions[arn]
        units = {item["name"]: int(item.get("cpu") or 0) for item in definition["containerDefinitions"]}
        size = int(definition.get("cpu") or 0)
        memory = float(definition.get("memory") or "inf")
        for item in task["containers"]:
            if "runtimeId" in item:
                weight = max(FEWEST_SHARES, units.get(item["name"]) or size)
                most = size / CPU_UNITS if size else float("inf")
                limit = Container(float("inf"), weight, most, task["taskArn"])
                yield Running(item["runtimeId"], item["name"], task["taskArn"], limit, memory)

    def _measure(self, ecs: clients.Client, book: Book, running: Sequence[Running]) -> None:
        """Charge a machine for what its containers used, and limit each to what it may use until the next time."""
        uses = self._containers.use([one.id for one in running])
        if running and not uses:
            # Docker does not answer: the next measurement covers this time too.
            return
        now = time.time()
        minutes = clock.aws_seconds(now - book.measured) / metrics_store.MINUTE
        used = sum(use.cpu_seconds - _before(book, name) for name, use in uses.items()) / max(now - book.measured, 1e-3)
        book.account = burstable_credits.after(book.account, book.rates, used, minutes)
        book.used += used * minutes
        seen = [_with_demand(book, one, uses[one.id]) for one in running if one.id in uses]
        memory = {name: use.memory / MEBIBYTE for name, use in uses.items()}
        _decide(book, [one.limit for one in seen], sum(memory.values()))
        sizes = _memory_by_task(seen, memory)
        book.near = book.near or any(sum(used.values()) >= machine_limits.NEAR * size for used, size in sizes)
        book.measured, book.uses = now, uses
        self._limit(book, seen)
        largest = {machine_limits.over_memory(memory, instance_types.memory_mib(book.type))}
        largest |= {machine_limits.over_size(used, size) for used, size in sizes}
        for one in seen:
            if one.id in largest:
                self._end(ecs, book, one)

    def _limit(self, book: Book, running: Sequence[Running]) -> None:
        book.limits = {one.id: book.limits[one.id] for one in running if one.id in book.limits}
        wanted = machine_limits.limits([one.limit for one in running], book.allowed, book.rates.vcpus)
        # What is taken from some before it is given to others.
        for one, vcpus in sorted(zip(running, wanted, strict=True), key=lambda item: item[1]):
            limit = book.limits.get(one.id) or self._containers.cpu_limit(one.id)
            if limit is None:
                continue
            book.limits[one.id] = limit
            new = machine_limits.quota(vcpus, book.period)
            if machine_limits.must_change(_vcpus(limit), vcpus) and self._containers.limit_cpu(one.id, *new):
                book.limits[one.id] = new

    def _end(self, ecs: clients.Client, book: Book, one: Running) -> None:
        logger.warning("%s or a task on it is out of memory: the container %s of %s ends.", book.id, one.name, one.task)
        cluster = one.task.split("/")[1]
        ecs.submit_container_state_change(
            cluster=cluster,
            task=one.task,
            containerName=one.name,
            status="STOPPED",
            exitCode=KILLED,
            reason=machine_limits.OUT_OF_MEMORY,
        )
        self._containers.kill(one.id)


def _period(moment: float) -> int:
    """Return the number of the five AWS minutes that a moment is in."""
    return metrics_store.minute(moment) // burstable_credits.METRIC_MINUTES


def _is_tight(book: Book) -> bool:
    """Return whether a machine's next container, or what it has, is to be limited at once."""
    return book.near or book.allowed < book.rates.vcpus


def _before(book: Book, container: str) -> float:
    """Return the CPU seconds that a container had used at the last measurement: none when it is new."""
    return book.uses[container].cpu_seconds if container in book.uses else 0.0


def _with_demand(book: Book, one: Running, use: Use) -> Running:
    """Return a container with what it wants, which is not known of a new one: no end of it."""
    before, limit = book.uses.get(one.id), book.limits.get(one.id)
    if before is None or limit is None:
        return one
    used = (use.cpu_seconds - before.cpu_seconds) / max(use.moment - before.moment, 1e-3)
    return replace(one, limit=replace(one.limit, demand=machine_limits.demand(used, _vcpus(limit))))


def _memory_by_task(running: Sequence[Running], memory: Mapping[str, float]) -> list[tuple[dict[str, float], float]]:
    """Return the MiB by container of each task that has several and a size, and that size; Docker holds single ones."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for one in running:
        found[one.task][one.id] = memory[one.id]
    sizes = {one.task: one.size_mib for one in running}
    return [(used, sizes[task]) for task, used in found.items() if len(used) > 1]


def _vcpus(limit: tuple[int, int]) -> float:
    """Return the vCPUs of a period and a quota, which is 0 where there is no limit."""
    period, quota = limit
    return quota / period if quota else float("inf")


def _decide(book: Book, containers: Sequence[Container], used_mib: float) -> None:
    """Decide how much a machine may use, and whether it is measured often."""
    for_a_minute = burstable_credits.allowance(book.account, book.rates, 1)
    total_mib = instance_types.memory_mib(book.type)
    book.near = machine_limits.is_near(
        containers, used_mib, allowed=for_a_minute, vcpus=book.rates.vcpus, total_mib=total_mib
    )
    book.allowed = for_a_minute
    if book.near:
        # Twice the interval: on a busy computer a measurement may come late.
        until_next = clock.aws_seconds(2 * MachineLimits.interval) / metrics_store.MINUTE
        book.allowed = burstable_credits.allowance(book.account, book.rates, until_next)


def _opened(region: str, machine: str, now: float) -> Book:
    ec2 = clients.client("ec2", region)
    described = next(pages(ec2, "describe_instances", "Reservations", InstanceIds=[machine]))["Instances"][0]
    user_data = ec2.describe_instance_attribute(InstanceId=machine, Attribute="userData")["UserData"].get("Value", "")
    kind = described["InstanceType"]
    account = Account("unlimited")
    if instance_types.is_burstable(kind):
        told = ec2.describe_instance_credit_specifications(InstanceIds=[machine])["InstanceCreditSpecifications"]
        account = Account(told[0]["CpuCredits"])
    rates = burstable_credits.rates(kind)
    return Book(
        id=machine,
        group=next((tag["Value"] for tag in described.get("Tags", []) if tag["Key"] == GROUP_TAG), ""),
        type=kind,
        period=cpu_period(agent_settings(user_data)) * MICROSECONDS,
        rates=rates,
        account=account,
        measured=now,
        at_point=account,
        allowed=burstable_credits.allowance(account, rates, 1),
    )


def _close(book: Book) -> None:
    """Bill a machine that has gone for the surplus that it still owes."""
    ended = burstable_credits.settled(book.account)
    if ended.charged:
        cost = burstable_credits.dollars(ended, book.type)
        logger.info("The machine %s used %.2f surplus CPU credits: AWS bills %.4f $.", book.id, ended.charged, cost)


@metrics_store.together()
def _publish(period: int) -> None:
    """Publish the credits of five AWS minutes by machine, and by Auto Scaling group."""
    minute = period * burstable_credits.METRIC_MINUTES
    groups: dict[tuple[str, str], dict[str, list[float]]] = {}
    for (region, machine), book in list(_books.items()):
        if not book.has_credits:
            continue
        values = burstable_credits.metrics(book.account, book.at_point, book.used)
        book.at_point, book.used = book.account, 0.0
        cloudwatch = clients.client("cloudwatch", region)
        metrics_store.publish(cloudwatch, "AWS/EC2", values, {"InstanceId": machine}, minute)
        if not book.group:
            # A machine that somebody has registered by hand.
            continue
        of_group = groups.setdefault((region, book.group), {})
        for name, samples in values.items():
            of_group.setdefault(name, []).extend(samples)
    for (region, group), together in groups.items():
        cloudwatch = clients.client("cloudwatch", region)
        metrics_store.publish(cloudwatch, "AWS/EC2", together, {"AutoScalingGroupName": group}, minute)

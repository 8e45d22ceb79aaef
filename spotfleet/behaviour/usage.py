"""How much of their reservation tasks use, and how much of its machines a cluster: sums only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spotfleet.behaviour import machine_life
from spotfleet.behaviour.placement import Need
from spotfleet.behaviour.record import Record

CPU_UNITS = 1024

MEBIBYTE = 1024 * 1024

NANOSECONDS = 1e9

PERCENT = 100.0


# Between two values of a service that publishes its use more often than each minute (rule T12).
FAST_SECONDS = 20

# Minutes between two values of what EC2 tells of a machine: one with detailed monitoring (rule G12).
BASIC_MINUTES = 5


# What a machine uses beside its containers, in vCPUs: system, Docker and agent at rest, and for each container, whose
# statistics the agent reads all the time. Estimates (rule G12), the higher ends of what is told: tenths of a percent of
# a processor for each of some processes (https://github.com/aws/amazon-ecs-agent/issues/2022), and 15 to 20 % for the
# statistics of 14 containers (https://github.com/moby/moby/issues/39664).
SYSTEM_VCPUS = 0.02
VCPUS_PER_CONTAINER = 0.012

# CPU seconds that a boot takes: an estimate (rule B3).
BOOT_CPU_SECONDS = 15.0
MINUTE = 60.0


@dataclass(frozen=True)
class Use:
    """What a container has used: CPU seconds and bytes of the network since its start, bytes of memory now.

    `moment` is in seconds since 1970.
    """

    moment: float
    cpu_seconds: float
    memory: int
    received: int = 0
    sent: int = 0


def use_of(stats: Record, moment: float) -> Use:
    """Return the use in an answer of Docker's statistics; memory without the page cache, as ECS counts it."""
    memory = stats.get("memory_stats", {})
    cache = memory.get("stats", {}).get("inactive_file", memory.get("stats", {}).get("total_inactive_file", 0))
    cpu = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0) / NANOSECONDS
    networks = stats.get("networks", {}).values()
    received, sent = (sum(network[name] for network in networks) for name in ("rx_bytes", "tx_bytes"))
    return Use(moment, cpu, max(0, memory.get("usage", 0) - cache), received, sent)


def cpu_percent(before: Use, after: Use, units: int) -> float:
    """Return the CPU used between two moments in percent of the reserved CPU units."""
    cores = (after.cpu_seconds - before.cpu_seconds) / max(after.moment - before.moment, 1e-3)
    return PERCENT * max(0.0, cores) * CPU_UNITS / units


@dataclass(frozen=True)
class Measured:
    """A task, and the use of each of its containers a minute ago and now."""

    task: Record
    before: Sequence[Use]
    after: Sequence[Use]

    def cpu_percent(self, units: int) -> float:
        """Return the CPU that it used in percent of so many CPU units."""
        return sum(cpu_percent(a, b, units) for a, b in zip(self.before, self.after, strict=True))

    @property
    def memory(self) -> int:
        """The bytes of memory that it uses."""
        return sum(item.memory for item in self.after)

    @property
    def received(self) -> float:
        """The bytes that it received since the minute before."""
        return float(sum(max(0, b.received - a.received) for a, b in zip(self.before, self.after, strict=True)))

    @property
    def sent(self) -> float:
        """The bytes that it sent since the minute before."""
        return float(sum(max(0, b.sent - a.sent) for a, b in zip(self.before, self.after, strict=True)))


def fast_metrics(revision: Record) -> frozenset[str]:
    """Return the metrics that a service publishes every 20 seconds, by its revision's monitoring (rule T12).

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceRevision.html
    """
    configurations = revision.get("monitoring", {}).get("metricConfigurations", [])
    fast = [item for item in configurations if item["resolutionSeconds"] == FAST_SECONDS]
    return frozenset(name for item in fast for name in item["metricNames"])


def utilization(measured: Measured, need: Need) -> dict[str, list[float]]:
    """Return a task's metrics from the use of its containers; nothing for what it does not reserve."""
    if not measured.after:
        return {}
    values = {}
    if need.cpu:
        values["CPUUtilization"] = [measured.cpu_percent(need.cpu)]
    if need.memory:
        values["MemoryUtilization"] = [PERCENT * measured.memory / (need.memory * MEBIBYTE)]
    return values


def system_vcpus(containers: int, since_launch: float, boot: float) -> float:
    """Return what a machine with so many containers used beside them in the minute that has just ended, in vCPUs.

    `since_launch` and `boot` are in AWS's seconds: a boot within the minute counts for as much of it as was in there.
    """
    booting = max(0.0, min(boot, since_launch) - max(0.0, since_launch - MINUTE))
    of_boot = BOOT_CPU_SECONDS * booting / boot if boot else 0.0
    return SYSTEM_VCPUS + VCPUS_PER_CONTAINER * containers + of_boot / MINUTE


def machine_use(
    machines: Iterable[machine_life.Machine],
    measured: Sequence[Measured],
    since_launch: Mapping[str, float],
    allowed: Mapping[str, float],
) -> dict[str, dict[str, dict[str, float]]]:
    """Return EC2's metrics by Auto Scaling group and machine, of a minute: what was used of each that has joined.

    EC2 measures from outside, with the system, the agent and the boot, which are estimated here (rule G12). A machine
    without credits uses no more than it is `allowed`, in vCPUs, all that together. `since_launch` is how long after the
    launch of a machine the minute ended, in AWS's seconds.
    """
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for machine in machines:
        if machine.ecs is None:
            continue
        on_it = [one for one in measured if one.task.get("containerInstanceArn") == machine.ecs["containerInstanceArn"]]
        units = _size(machine.ecs["registeredResources"], "CPU")
        tasks = sum(one.cpu_percent(units) for one in on_it)
        system = system_vcpus(sum(len(one.after) for one in on_it), since_launch[machine.id], machine.boot)
        most = allowed.get(machine.id, units / CPU_UNITS)
        groups.setdefault(machine.group, {})[machine.id] = {
            "CPUUtilization": max(tasks, min(tasks + _percent(system, units), _percent(most, units))),
            "NetworkIn": sum(one.received for one in on_it),
            "NetworkOut": sum(one.sent for one in on_it),
        }
    return groups


def _percent(vcpus: float, units: int) -> float:
    return PERCENT * vcpus * CPU_UNITS / units


def of_machines(minutes: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, list[float]]:
    """Return a group's metrics of one or five minutes from those of each machine in them: average CPU, sum of bytes.

    A machine that began in their midst counts as much as the others, as EC2 has one value of each (rule G12).
    """
    values: dict[str, list[float]] = {}
    for of_machine in minutes.values():
        for name in of_machine[0]:
            total = sum(minute[name] for minute in of_machine)
            values.setdefault(name, []).append(total / len(of_machine) if name == "CPUUtilization" else total)
    return values


def tells_of_machines(minute: int, *, detailed: bool) -> bool:
    """Return whether EC2 tells of machines when a minute ends: of each, or with basic monitoring of every fifth (G12).

    The value of five minutes has the last of them: it can be read after them, and no earlier.
    """
    return detailed or (minute + 1) % BASIC_MINUTES == 0


def cluster_use(machines: Iterable[Record], measured: Sequence[Measured]) -> dict[str, list[float]]:
    """Return the share of a cluster's CPU and memory that its tasks use, and that they reserve; none without machines.

    `machines` are its container instances.
    """
    total, left = {"CPU": 0, "MEMORY": 0}, {"CPU": 0, "MEMORY": 0}
    for machine in machines:
        for name in total:
            total[name] += _size(machine["registeredResources"], name)
            left[name] += _size(machine["remainingResources"], name)
    values = {}
    if total["CPU"]:
        values["CPUReservation"] = [PERCENT * (total["CPU"] - left["CPU"]) / total["CPU"]]
        values["CPUUtilization"] = [sum(one.cpu_percent(total["CPU"]) for one in measured)]
    if total["MEMORY"]:
        values["MemoryReservation"] = [PERCENT * (total["MEMORY"] - left["MEMORY"]) / total["MEMORY"]]
        used = sum(one.memory for one in measured)
        values["MemoryUtilization"] = [PERCENT * used / (total["MEMORY"] * MEBIBYTE)]
    return values


def group_size(group: Record) -> dict[str, list[float]]:
    """Return what an Auto Scaling group says of its size each minute.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-metrics.html
    """
    states = [instance["LifecycleState"] for instance in group["Instances"]]
    counts = {
        "GroupDesiredCapacity": group["DesiredCapacity"],
        "GroupInServiceInstances": states.count("InService"),
        "GroupMaxSize": group["MaxSize"],
        "GroupMinSize": group["MinSize"],
        "GroupPendingInstances": sum(state.startswith("Pending") for state in states),
        "GroupTerminatingInstances": sum(state.startswith("Terminating") for state in states),
        "GroupTotalInstances": len(states),
    }
    return {name: [float(count)] for name, count in counts.items()}


def _size(resources: Iterable[Record], name: str) -> int:
    return sum(item.get("integerValue", 0) for item in resources if item["name"] == name)

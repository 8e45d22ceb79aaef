"""How many machines a capacity provider wants: decisions only."""

from collections.abc import Iterable, Sequence

from spotfleet.behaviour import placement
from spotfleet.behaviour.machine_life import Machine
from spotfleet.behaviour.record import Record

# Minutes of CapacityProviderReservation below the target before machines go.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-auto-scaling.html
SCALE_IN_MINUTES = 15


def wanted_machines(provider: Record, group: Record, needed: int, reservations: Sequence[float | None]) -> int:
    """Return the number of machines that managed scaling wants; `reservations` are the last minutes' metric.

    More after one minute above the target capacity, fewer after fifteen below it; steps, minimum and maximum as set.
    """
    scaling = provider["autoScalingGroupProvider"].get("managedScaling", {})
    target = int(scaling.get("targetCapacity", 100))
    desired = int(group["DesiredCapacity"])
    wanted = placement.machines_wanted(needed, target)
    if reservations[-1] is not None and reservations[-1] > target and wanted > desired:
        step = max(wanted - desired, int(scaling.get("minimumScalingStepSize", 1)))
        wanted = desired + min(step, int(scaling.get("maximumScalingStepSize", 10_000)))
    elif not all(value is not None and value < target for value in reservations[-SCALE_IN_MINUTES:]):
        wanted = desired
    return max(min(wanted, int(group["MaxSize"])), int(group["MinSize"]))


def surplus(machines: Iterable[Machine], count: int, on_demand_base: int) -> list[Machine]:
    """Return up to `count` machines that may go: empty, Spot first, then the newest, never of the on-demand base."""
    staying = [machine for machine in machines if not machine.leaving]
    spare_on_demand = sum(not machine.spot for machine in staying) - on_demand_base
    empty = sorted((item for item in staying if item.empty), key=lambda item: (not item.spot, -item.launched))
    spot = [machine for machine in empty if machine.spot]
    on_demand = [machine for machine in empty if not machine.spot][: max(0, spare_on_demand)]
    return (spot + on_demand)[:count]

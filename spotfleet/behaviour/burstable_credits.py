"""CPU credits of burstable machines: what they earn and use, what they may use now, and what AWS bills. Numbers only.

One credit is one vCPU for one minute; times are AWS minutes, and what is used is a rate, in vCPUs. Rules B1 to B6.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-credits-baseline-concepts.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances-standard-mode-concepts.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances-unlimited-mode-concepts.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from spotfleet.facts import instance_types

Mode = Literal["standard", "unlimited"]

MINUTES_PER_HOUR = 60

# A machine keeps what it earns in so many hours.
KEPT_HOURS = 24

# The credit metrics have points of so many minutes, whatever the machine's monitoring: rule W7.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances-monitoring-cpu-credits.html
METRIC_MINUTES = 5


@dataclass(frozen=True)
class Rates:
    """What a machine of a type may use, in vCPUs: at most, and for ever."""

    vcpus: float
    baseline: float

    @property
    def earned_per_hour(self) -> float:
        """Credits that it earns, which is its baseline."""
        return self.baseline * MINUTES_PER_HOUR

    @property
    def limit(self) -> float:
        """Credits that it keeps at most, and surplus credits that it may owe before they are billed."""
        return self.earned_per_hour * KEPT_HOURS


def rates(instance_type: str) -> Rates:
    """Return the rates of a type; one that is not burstable may use all of its vCPUs for ever."""
    vcpus = instance_types.cpu_units(instance_type) / instance_types.CPU_UNITS_PER_VCPU
    return Rates(vcpus, vcpus * instance_types.baseline_percent(instance_type) / 100)


@dataclass(frozen=True)
class Account:
    """A machine's credits; a new one of T3, T3a and T4g has none (rule B3).

    `balance` can be used, `surplus` is owed and paid back by what is earned, `charged` is what AWS bills of it.
    """

    mode: Mode
    balance: float = 0.0
    surplus: float = 0.0
    charged: float = 0.0


def after(account: Account, of: Rates, used: float, minutes: float) -> Account:
    """Return the account when the machine has used so many vCPUs for so many minutes.

    What would go below 0 is owed in unlimited mode; in standard mode AWS does not let a machine use it, and what a
    measurement saw too late is forgiven.
    """
    net = account.balance - account.surplus + (of.baseline - used) * minutes
    if account.mode == "standard":
        net = max(0.0, net)
    over = max(0.0, -net - of.limit)
    surplus = max(0.0, -net) - over
    return replace(account, balance=min(max(0.0, net), of.limit), surplus=surplus, charged=account.charged + over)


def settled(account: Account) -> Account:
    """Return the account of a machine that ends, or changes its mode: AWS bills the surplus that is still owed."""
    return replace(account, surplus=0.0, charged=account.charged + account.surplus)


def dollars(account: Account, instance_type: str) -> float:
    """Return what AWS has billed, in US dollars (rule B4)."""
    return account.charged / MINUTES_PER_HOUR * instance_types.surplus_dollars(instance_type)


def allowance(account: Account, of: Rates, minutes: float) -> float:
    """Return the vCPUs that a machine may use over the next so many minutes, after which it is asked again.

    Without credits that is the baseline, in standard mode. Of how AWS gets there it says only that a machine that runs
    low is lowered gradually: here its last credits are spread over the `minutes`, so that they are never overdrawn.
    """
    if account.mode == "unlimited":
        return of.vcpus
    return min(of.vcpus, of.baseline + account.balance / minutes)


def metrics(account: Account, before: Account, used: float) -> Mapping[str, Sequence[float]]:
    """Return what AWS publishes of five minutes in which so many credits were used.

    `before` is the account five minutes ago. AWS has the surplus metrics for unlimited machines only; it does not say
    whether what is charged is a sum, and here it is that of the five minutes.
    """
    values = {"CPUCreditUsage": [used], "CPUCreditBalance": [account.balance]}
    if account.mode == "unlimited":
        values["CPUSurplusCreditBalance"] = [account.surplus]
        values["CPUSurplusCreditsCharged"] = [max(0.0, account.charged - before.charged)]
    return values

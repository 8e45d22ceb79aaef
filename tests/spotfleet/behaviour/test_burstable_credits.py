"""CPU credits of burstable machines, with the numbers of AWS's documentation."""

import pytest

from spotfleet.behaviour.burstable_credits import Account, Mode, after, allowance, dollars, metrics, rates, settled

HOUR = 60.0
MICRO = rates("t3.micro")


# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-credits-baseline-concepts.html, rule B1
@pytest.mark.parametrize("family", ["t3", "t3a", "t4g"])
@pytest.mark.parametrize(
    ("size", "an_hour", "limit", "vcpus", "baseline"),
    [
        ("nano", 6, 144, 2, 0.05),
        ("micro", 12, 288, 2, 0.1),
        ("small", 24, 576, 2, 0.2),
        ("medium", 24, 576, 2, 0.2),
        ("large", 36, 864, 2, 0.3),
        ("xlarge", 96, 2304, 4, 0.4),
    ],
)
def test_rates_are_those_of_the_type(
    family: str, size: str, an_hour: float, limit: float, vcpus: int, baseline: float
) -> None:
    found = rates(f"{family}.{size}")
    assert found.vcpus == vcpus
    assert found.baseline == pytest.approx(vcpus * baseline)
    assert found.earned_per_hour == pytest.approx(an_hour)
    assert found.limit == pytest.approx(limit)


def test_a_type_that_is_not_burstable_is_never_held_back() -> None:
    found = rates("c7a.large")
    assert found.baseline == found.vcpus == 2


@pytest.mark.parametrize(("hours", "balance"), [(3, 36), (30, 288)])
def test_an_idle_machine_earns_up_to_what_a_day_brings(hours: float, balance: float) -> None:
    assert after(Account("standard"), MICRO, 0, hours * HOUR).balance == pytest.approx(balance)


def test_the_balance_of_five_minutes() -> None:
    # Rule B2: 2 credits, one used, 6 x 5/60 earned.
    found = after(Account("standard", 2), rates("t3.nano"), 1 / 5, 5)
    assert found.balance == pytest.approx(2 + 0.5 - 1)


def test_credits_last_as_long_as_they_are_used_faster_than_earned() -> None:
    # 24 credits, both vCPUs full: 24 / (2 - 0.2) minutes.
    lasts = 24 / (2 - 0.2)
    assert lasts == pytest.approx(13.3, abs=0.05)
    almost = after(Account("standard", 24), MICRO, 2, lasts - 0.1)
    assert almost.balance == pytest.approx(0.18)
    gone = after(almost, MICRO, 2, 0.1)
    assert gone.balance == pytest.approx(0, abs=1e-9)
    assert allowance(gone, MICRO, 1) == pytest.approx(0.2)


def test_a_standard_machine_owes_nothing() -> None:
    assert after(Account("standard", 1), MICRO, 2, 60) == Account("standard")


def test_a_new_standard_machine_has_its_baseline_alone() -> None:
    # Rule B3: a boot that takes 15 vCPU-seconds of work.
    standard, unlimited = (allowance(Account(mode), MICRO, 1) for mode in modes())
    assert 15 / standard == pytest.approx(75)
    assert 15 / unlimited == pytest.approx(7.5)
    # Three busy tasks of 256 units just after; a request of 10 ms CPU.
    each = standard / 3
    assert each == pytest.approx(0.067, abs=0.001)
    assert each / 0.25 == pytest.approx(0.267, abs=0.001)
    assert 10 / each == pytest.approx(150)


def test_the_last_credits_are_spread_and_never_overdrawn() -> None:
    low = Account("standard", 0.5)
    allowed = allowance(low, MICRO, 1)
    assert allowed == pytest.approx(0.7)
    assert after(low, MICRO, allowed, 1).balance == pytest.approx(0)


def test_unlimited_is_billed_for_what_a_day_does_not_earn() -> None:
    # Rule B4: both vCPUs at 50 % for 24 hours.
    account = Account("unlimited")
    for _minute in range(24 * 60):
        assert allowance(account, MICRO, 1) == 2
        account = after(account, MICRO, 1, 1)
    assert account.balance == 0
    assert account.surplus == pytest.approx(288)
    assert account.charged == pytest.approx(864)
    assert dollars(account, "t3.micro") == pytest.approx(0.72)
    assert settled(account).charged == pytest.approx(1152)
    assert dollars(settled(account), "t3.micro") == pytest.approx(0.96)
    assert dollars(settled(account), "t4g.micro") == pytest.approx(0.768)


def test_surplus_is_paid_back_before_credits_are_kept() -> None:
    owing = after(Account("unlimited", 1), MICRO, 2, 5)
    assert owing.surplus == pytest.approx(8)
    assert owing.balance == owing.charged == 0
    idle = after(owing, MICRO, 0, 50)
    assert idle.balance == pytest.approx(2)
    assert idle.surplus == idle.charged == 0


def test_metrics_of_five_minutes() -> None:
    before = Account("unlimited", 0, 288, 10)
    now = after(before, MICRO, 2, 5)
    assert metrics(now, before, 10) == {
        "CPUCreditUsage": [10],
        "CPUCreditBalance": [0],
        "CPUSurplusCreditBalance": [pytest.approx(288)],
        "CPUSurplusCreditsCharged": [pytest.approx(9)],
    }
    standard = metrics(Account("standard", 3), Account("standard", 2), 0)
    assert standard == {"CPUCreditUsage": [0], "CPUCreditBalance": [3]}


def test_tasks_run_at_full_speed_for_forty_minutes_and_then_look_idle() -> None:
    # Rules B5 and B6: 12 credits after an idle hour; two busy tasks of 256 units on the machine, CPU target 70.
    account = after(Account("standard"), MICRO, 0, HOUR)
    percent = []
    for _minute in range(56):
        used = min(0.5, allowance(account, MICRO, 1))
        account = after(account, MICRO, used, 1)
        percent.append(100 * used / 0.5)
    assert percent[:40] == [pytest.approx(100)] * 40
    assert percent[40:] == [pytest.approx(40)] * 16
    # Target tracking scales in after 15 minutes below 90 % of the target: from minute 55 on.
    below = [value < 0.9 * 70 for value in percent]
    assert not all(below[39:54])
    assert all(below[40:55])


def modes() -> tuple[Mode, Mode]:
    """Return both modes."""
    return "standard", "unlimited"

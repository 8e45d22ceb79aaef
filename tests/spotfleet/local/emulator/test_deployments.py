"""Which deployments of a service are listed, and what its events keep of the others."""

import pytest

from spotfleet.local.emulator import deployments
from spotfleet.local.emulator.deployments import Deployment


def deployment(number: int, status: str, state: str) -> dict[str, str]:
    return {
        "id": f"ecs-svc/{number}",
        "status": status,
        "rolloutState": state,
        "rolloutStateReason": f"reason {number}.",
    }


OLD = deployment(1, "PRIMARY", "COMPLETED")
FAILED = deployment(2, "ACTIVE", "FAILED")


@pytest.mark.parametrize(
    ("found", "with_tasks", "left"),
    [
        ([OLD], [], [OLD]),
        # Rolled back, and nothing runs of it any more.
        ([FAILED, OLD], [], [OLD]),
        ([FAILED, OLD], ["ecs-svc/2"], [OLD, FAILED]),
        # The one that takes its place has not done so yet: what failed is still to be seen.
        ([FAILED, OLD | {"rolloutState": "IN_PROGRESS"}], [], [OLD | {"rolloutState": "IN_PROGRESS"}, FAILED]),
        # Nothing has taken its place.
        ([FAILED | {"status": "PRIMARY"}], [], [FAILED | {"status": "PRIMARY"}]),
        # A deployment under way with what it replaces: both stay until MiniStack has drained the old one.
        ([deployment(3, "PRIMARY", "IN_PROGRESS"), OLD | {"status": "ACTIVE"}], [], None),
    ],
)
def test_a_failed_deployment_goes_when_another_has_taken_its_place(
    found: list[Deployment], with_tasks: list[str], left: list[Deployment] | None
) -> None:
    assert deployments.listed(found, with_tasks) == (found if left is None else left)


def test_the_events_tell_why_a_deployment_failed_that_is_listed_no_more() -> None:
    events = [{"message": "(service web) rolled back."}, {"message": f"(service web) {deployments.failure(FAILED)}"}]
    assert deployments.failure_in(events, "ecs-svc/2") == "reason 2."
    assert deployments.failure_in(events, "ecs-svc/1") is None

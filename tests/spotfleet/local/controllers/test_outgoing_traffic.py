"""The routers of tasks are looked after when something has changed, and left alone otherwise."""

from collections.abc import Iterator

import pytest

from spotfleet.local.backchannel import changes
from spotfleet.local.controllers.outgoing_traffic import OutgoingTraffic


@pytest.fixture
def tables() -> Iterator[list[int | None]]:
    """What a look at the tables gives: a number, or None amid changes."""
    found: list[int | None] = [1]
    changes.watch(lambda: found[0])
    yield found
    changes.watch(None)


def test_it_acts_after_a_change_and_amid_changes_only(tables: list[int | None]) -> None:
    done: list[str] = []
    traffic = OutgoingTraffic(lambda: ["eu-west-1"], done.append, lambda: done.append("kept"))
    once = ["eu-west-1", "kept"]
    traffic.step()
    traffic.step()
    assert done == once
    changes.note()
    traffic.step()
    assert done == once * 2
    tables[0] = None
    changes.note()
    traffic.step()
    traffic.step()
    assert done == once * 4

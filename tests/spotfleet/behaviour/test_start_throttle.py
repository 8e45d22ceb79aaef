"""How tasks that cannot start are tried again: the worked example of rule E11."""

from spotfleet.behaviour.start_throttle import is_impaired, placement_wait_seconds, wait_seconds


def test_the_distances_grow_to_27_minutes() -> None:
    waits = [wait_seconds(failures) for failures in range(1, 11)]
    assert waits == [0, 0, 60, 120, 240, 480, 960, 1620, 1620, 1620]


def test_an_image_that_appears_waits_for_the_next_try() -> None:
    assert wait_seconds(6) - 100 == 380


def test_the_third_failure_in_a_row_is_told() -> None:
    assert [is_impaired(failures) for failures in (1, 2, 3, 4)] == [False, False, True, True]


def test_room_that_appears_is_found_by_the_next_try() -> None:
    tries = [0]
    while tries[-1] < 600:
        tries.append(tries[-1] + placement_wait_seconds(tries[-1]))
    assert tries == [0, 10, 20, 30, 40, 50, 350, 650]
    # It appears at 100 s.
    assert next(moment for moment in tries if moment >= 100) == 350

"""How tasks that cannot start are tried again: the worked example of rule E11."""

from spotfleet.behaviour.start_throttle import is_impaired, wait_seconds


def test_the_distances_grow_to_27_minutes() -> None:
    waits = [wait_seconds(failures) for failures in range(1, 11)]
    assert waits == [0, 0, 60, 120, 240, 480, 960, 1620, 1620, 1620]


def test_an_image_that_appears_waits_for_the_next_try() -> None:
    assert wait_seconds(6) - 100 == 380


def test_the_third_failure_in_a_row_is_told() -> None:
    assert [is_impaired(failures) for failures in (1, 2, 3, 4)] == [False, False, True, True]

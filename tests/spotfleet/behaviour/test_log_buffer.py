"""What of a burst of output is lost (rule M5)."""

import pytest

from spotfleet.behaviour import log_buffer

MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 10 * MEBIBYTE),
        ({"mode": "non-blocking", "max-buffer-size": "25m"}, 25 * MEBIBYTE),
        ({"max-buffer-size": "512K"}, 512 * 1024),
        ({"max-buffer-size": "1000"}, 1000),
        ({"mode": "blocking", "max-buffer-size": "25m"}, None),
    ],
)
def test_the_buffer_is_10_mib_unless_the_definition_says_more(options: dict[str, str], size: int | None) -> None:
    assert log_buffer.buffer_bytes(options) == size


def test_a_minute_of_1_mib_a_second_leaves_10() -> None:
    waiting = kept = 0
    for _second in range(60):
        if log_buffer.is_kept(waiting, MEBIBYTE, 10 * MEBIBYTE):
            waiting += MEBIBYTE
            kept += 1
    assert (kept, 60 - kept) == (10, 50)
    assert all(log_buffer.is_kept(second * MEBIBYTE, MEBIBYTE, None) for second in range(60))
    assert log_buffer.is_kept(0, 20 * MEBIBYTE, 10 * MEBIBYTE)

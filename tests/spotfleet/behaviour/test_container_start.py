"""What is said of a container that does not start (rule E10)."""

import pytest

from spotfleet.behaviour import container_start
from spotfleet.behaviour.container_start import Step


@pytest.mark.parametrize(
    ("step", "words", "reason"),
    [
        (Step.CREATE, None, "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s"),
        (Step.START, None, "DockerTimeoutError: Could not transition to started; timed out after waiting 3m0s"),
        (Step.CREATE, "no space", "CannotCreateContainerError: Error response from daemon: no space"),
        (Step.START, "no file", "CannotStartContainerError: Error response from daemon: no file"),
    ],
)
def test_the_agent_waits_and_says_why_in_its_words(step: Step, words: str | None, reason: str) -> None:
    assert container_start.failure(step, words) == reason

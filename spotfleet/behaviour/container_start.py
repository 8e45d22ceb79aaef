"""What the ECS agent says of a container that Docker does not make or start, and how long it waits: decisions only.

https://github.com/aws/amazon-ecs-agent/blob/master/README.md#environment-variables (rule E10)
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
"""

from enum import StrEnum


class Step(StrEnum):
    """What Docker is asked, in the agent's words for the state that follows."""

    CREATE = "created"
    START = "started"


# In real seconds, as the work of Docker is: ECS_CONTAINER_CREATE_TIMEOUT and ECS_CONTAINER_START_TIMEOUT.
LONGEST = {Step.CREATE: 4 * 60, Step.START: 3 * 60}
REFUSED = {Step.CREATE: "CannotCreateContainerError", Step.START: "CannotStartContainerError"}


def failure(step: Step, words: str | None) -> str:
    """Return why a task could not start: Docker's own words, or none where it has not answered in time."""
    if words is None:
        return f"DockerTimeoutError: Could not transition to {step}; timed out after waiting {LONGEST[step] // 60}m0s"
    return f"{REFUSED[step]}: Error response from daemon: {words}"

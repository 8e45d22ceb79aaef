"""What an instance type offers to tasks, by the worked numbers of public listings."""

import pytest

from spotfleet.facts import instance_types


@pytest.mark.parametrize(
    ("name", "mebibytes"),
    [
        *(("t3.micro", 916), ("t3.small", 1901), ("t3.medium", 3828), ("c5.large", 3704), ("m5.large", 7680)),
        # Never seen: min(0.90 x nominal, nominal - 110).
        *(("t3.nano", 402), ("t3a.micro", 914), ("t3a.small", 1843), ("m6i.large", 7372)),
    ],
)
def test_a_machine_registers_with_the_least_memory_that_was_seen_of_its_type(name: str, mebibytes: int) -> None:
    assert instance_types.memory_mib(name) == mebibytes


@pytest.mark.parametrize(("name", "tasks"), [("t3.micro", 3), ("t3.small", 7), ("t3.medium", 14)])
def test_tasks_of_256_mebibytes_on_a_machine_with_64_reserved(name: str, tasks: int) -> None:
    assert (instance_types.memory_mib(name) - 64) // 256 == tasks

"""A hook that stands at several points of one command acts at the first of them."""

import pytest
from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from spotfleet.stacks.once import once_per_command
from tests.support.stacks import Aws, make_stack

acted: list[object] = []


class Acting(Hook):
    @once_per_command
    def run(self) -> None:
        acted.append(self.argument)
        if self.argument == "fail":
            raise SceptreException("failed")


@pytest.fixture(autouse=True)
def fresh() -> None:
    acted.clear()


def test_it_acts_once_for_a_stack_and_an_argument() -> None:
    stack = make_stack("dev/vpc", Aws({}))
    for argument in ({}, {}, {"a": 1}, {"a": 1}, {}):
        Acting(argument, stack).run()
    assert acted == [{}, {"a": 1}]


def test_another_command_is_another_stack_object() -> None:
    for name in ("dev/vpc", "dev/vpc", "dev/cluster"):
        Acting({}, make_stack(name, Aws({}))).run()
    assert len(acted) == 3


def test_what_has_failed_is_not_done() -> None:
    stack = make_stack("dev/vpc", Aws({}))
    for _ in range(2):
        with pytest.raises(SceptreException):
            Acting("fail", stack).run()
    assert len(acted) == 2

"""The stack's name in what AWS refuses outright."""

from unittest.mock import Mock

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from spotfleet.stacks import name_stack_in_errors
from tests.support.stacks import Aws, make_stack


def refusal(operation: str, message: str) -> str:
    """Return the error of the second stack of a run, in which each one calls AWS on its own client."""
    session = boto3.Session(region_name="eu-west-1")
    for name in ("dev/cluster", "dev/vpc"):
        stack = make_stack(name, Aws({}))
        stack._connection_manager = Mock(get_session=lambda: session)
        name_stack_in_errors.name_stack(stack)
        client = session.client("cloudformation")
    with Stubber(client) as stubber:
        stubber.add_client_error(operation, "ValidationError", message)
        more = {"ChangeSetName": "mine"} if "change_set" in operation else {"TemplateBody": "{}"}
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)(StackName=stack.external_name, **more)
    return str(caught.value)


@pytest.mark.parametrize("operation", ["create_stack", "update_stack"])
def test_a_refusal_names_the_stack(operation: str) -> None:
    assert refusal(operation, "Template format error").endswith("operation: spotfleet-dev-vpc: Template format error")


def test_nothing_to_update_stays_as_sceptre_knows_it() -> None:
    assert refusal("update_stack", name_stack_in_errors.NO_UPDATES).endswith(
        f"operation: {name_stack_in_errors.NO_UPDATES}"
    )


@pytest.mark.parametrize("operation", ["create_change_set", "execute_change_set"])
def test_a_refused_change_set_which_sceptre_only_logs_is_told_once(operation: str) -> None:
    refusal(operation, "it is OBSOLETE")
    assert name_stack_in_errors.unreported(make_stack("dev/cluster", Aws({}))) is None
    assert name_stack_in_errors.unreported(make_stack("dev/vpc", Aws({}))) == "spotfleet-dev-vpc: it is OBSOLETE"
    assert name_stack_in_errors.unreported(make_stack("dev/vpc", Aws({}))) is None

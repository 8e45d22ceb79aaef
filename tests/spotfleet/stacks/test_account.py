"""Where a launch or a delete acts: said, and refused in a wrong account before anything is touched."""

import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError, ProfileNotFound
from sceptre.exceptions import SceptreException

from spotfleet.stacks import account
from tests.support.stacks import ACCOUNT, Aws, client_error, make_stack

LOCAL = "http://127.0.0.1:4566"
PROTECTED: dict[str, Any] = {"deletion_protection": True, "account_id": ""}
LOGGER = logging.getLogger("account")


@pytest.fixture(autouse=True)
def fresh_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_said", set())
    monkeypatch.delenv(account.EMBEDDED_ONLY, raising=False)


def in_account(number: str) -> Aws:
    return Aws({"sts.get_caller_identity": lambda _: {"Account": number}})


# They look at the configuration only.
ASKING_NOBODY = {"ignored_dependencies", "plain_http", "valid_settings"}


@pytest.mark.parametrize(
    "hook", [entry for entry in entry_points(group="sceptre.hooks") if entry.value.startswith("hooks.")], ids=str
)
def test_every_hook_that_acts_refuses_a_wrong_account(hook: EntryPoint) -> None:
    if hook.name in ASKING_NOBODY:
        return
    aws = in_account("111111111111")
    stack = make_stack("dev/service", aws, account_id=ACCOUNT, deletion_protection=False)
    expected = (
        f"dev belongs into account {ACCOUNT} (account_id in config/dev/config.yaml), and this is AWS: account 1111"
    )
    with pytest.raises(SceptreException, match=re.escape(expected)):
        hook.load()({"setting": "task_policy_arns", "policy_arns": [], "allowed": False}, stack).run()
    assert {name for name, _arguments in aws.calls} == {"sts.get_caller_identity"}


def test_a_run_says_once_where_it_acts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for name in ("dev/vpc", "dev/cluster", "dev/vpc"):
            account.require_right(make_stack(name, in_account(ACCOUNT), account_id=ACCOUNT), LOGGER)
    place = f"AWS: account {ACCOUNT}, region eu-west-1, https://cloudformation.eu-west-1.amazonaws.com"
    assert caplog.messages == [f"Acting on {place}"]


def test_aws_is_asked_once_for_a_stack() -> None:
    aws = in_account(ACCOUNT)
    for stack in (make_stack("dev/vpc", aws), make_stack("dev/cluster", aws)):
        for _ in range(3):
            account.require_right(stack, LOGGER)
    assert len(aws.called("sts.get_caller_identity")) == 2


def test_a_stack_does_not_wait_for_the_answer_of_another() -> None:
    both_ask = threading.Barrier(2, timeout=5)

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        both_ask.wait()
        return {"Account": ACCOUNT}

    stacks = [make_stack(name, Aws({"sts.get_caller_identity": answer})) for name in ("dev/vpc", "dev/cluster")]
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(lambda stack: account.require_right(stack, LOGGER), stacks)) == [None, None]


@pytest.mark.parametrize(
    ("endpoint", "number", "said"),
    [
        (LOCAL, account.EMBEDDED, "the embedded AWS at http://127.0.0.1:4566, region eu-west-1"),
        ("http://localhost:4566", account.EMBEDDED, "the embedded AWS at"),
        ("https://cloudformation.eusc-de-east-1.amazonaws.eu", ACCOUNT, "AWS: account"),
        ("https://vpce-1.cloudformation.eu-west-1.vpce.amazonaws.com", ACCOUNT, "AWS: account"),
        ("https://cloudformation.eu-west-1.api.aws", ACCOUNT, "AWS: account"),
        # Neither a proxy on this machine that leads to AWS, nor a server that calls itself like the embedded one.
        (LOCAL, ACCOUNT, "an endpoint that is none of AWS's own: account"),
        ("http://10.0.0.1:4566", account.EMBEDDED, "an endpoint that is none of AWS's own: account"),
        ("https://amazonaws.com.evil.example", ACCOUNT, "an endpoint that is none of AWS's own: account"),
        ("https://evilamazonaws.com", ACCOUNT, "an endpoint that is none of AWS's own: account"),
    ],
)
def test_the_place_is_told_by_where_the_connection_leads(endpoint: str, number: str, said: str) -> None:
    assert str(account.Place(number, "eu-west-1", endpoint)).startswith(said)


def test_a_protected_environment_needs_an_account_on_aws_and_none_in_a_rehearsal() -> None:
    account.require_right(make_stack("prod/vpc", in_account(account.EMBEDDED), endpoint=LOCAL, **PROTECTED), LOGGER)
    with pytest.raises(SceptreException, match=f'write account_id: "{ACCOUNT}" into config/prod'):
        account.require_right(make_stack("prod/vpc", in_account(ACCOUNT), **PROTECTED), LOGGER)
    own = {**PROTECTED, "account_id": ACCOUNT}
    account.require_right(make_stack("prod/vpc", in_account(ACCOUNT), **own), LOGGER)
    account.require_right(make_stack("prod/vpc", in_account(account.EMBEDDED), endpoint=LOCAL, **own), LOGGER)
    # A tunnel to AWS ends on this machine as well.
    with pytest.raises(SceptreException, match="none of AWS's own: account 999999999999"):
        account.require_right(make_stack("prod/vpc", in_account("999999999999"), endpoint=LOCAL, **own), LOGGER)


def test_a_shell_for_the_embedded_aws_reaches_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(account.EMBEDDED_ONLY, LOCAL)
    account.require_right(make_stack("dev/vpc", in_account(account.EMBEDDED), endpoint=LOCAL), LOGGER)
    with pytest.raises(SceptreException, match="keeps this shell to the embedded AWS at http"):
        account.require_right(make_stack("dev/vpc", in_account(ACCOUNT)), LOGGER)


@pytest.mark.parametrize(
    "error", [NoCredentialsError(), ProfileNotFound(profile="p"), client_error("ExpiredToken", "is expired")]
)
def test_credentials_that_do_not_work_are_one_sentence(error: Exception) -> None:
    def fail(_arguments: dict[str, Any]) -> dict[str, Any]:
        raise error

    stack = make_stack("dev/vpc", Aws({"sts.get_caller_identity": fail}))
    with pytest.raises(SceptreException, match="dev/vpc was not touched: AWS does not say whose account this is"):
        account.require_right(stack, LOGGER)

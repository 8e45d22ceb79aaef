"""The hook !administrator_policies: looks into the account's own policies, whose names need not tell what they hold."""

import json
from typing import Any

from botocore.exceptions import ClientError
from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from spotfleet.facts import administration
from spotfleet.stacks import account
from spotfleet.stacks.once import once_per_command

TASKS_WAY_OUT = ", or set allow_administrator_tasks: true"


class AdministratorPolicies(Hook):
    """Takes a dict: the name of the `setting`, its `policy_arns`, and whether administrators are `allowed` in it."""

    @once_per_command
    def run(self) -> None:
        """Raise SceptreException that names the policies which give administrator rights, unless they are allowed.

        A policy of the account's own that cannot be read is told of: its name has to do then.
        """
        account.require_right(self.stack, self.logger)
        policies = [] if self.argument["allowed"] else self.argument["policy_arns"]
        administrative = list(filter(self._is_administrative, policies))
        if administrative:
            of_tasks = self.argument["setting"] == "task_policy_arns"
            who = "task" if of_tasks else "machine"
            raise SceptreException(
                f"{self.stack.name} was not touched: {', '.join(administrative)} in {self.argument['setting']} lets a "
                f"{who} raise itself to administrator of the account. Give less{TASKS_WAY_OUT if of_tasks else ''}."
            )

    def _is_administrative(self, arn: str) -> bool:
        # Those of AWS are known by name.
        if administration.is_of_aws(arn):
            return administration.is_administrative(arn)
        return self._grants_administration(arn)

    def _grants_administration(self, arn: str) -> bool:
        try:
            version = self._call("get_policy", PolicyArn=arn)["Policy"]["DefaultVersionId"]
            document = self._call("get_policy_version", PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        except ClientError as error:
            self.logger.info("Did not look into %s: %s", arn, error.response["Error"]["Code"])
            return administration.sounds_administrative(arn)
        # boto3 decodes it; an emulator may not.
        document = json.loads(document) if isinstance(document, str) else document
        return administration.grants_administration(document, arn.split(":")[4])

    def _call(self, command: str, **kwargs: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.stack.connection_manager.call(service="iam", command=command, kwargs=kwargs)
        return answer

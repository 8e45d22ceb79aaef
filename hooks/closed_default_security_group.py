"""The hook !closed_default_security_group: nothing gets a way in or out by being in a VPC's default security group.

EC2 makes the group with each VPC, open to itself and to everywhere, and puts in it whatever names no group of its own.
CloudFormation can add rules to it and not take away these (EC2.2 of
https://docs.aws.amazon.com/securityhub/latest/userguide/ec2-controls.html).
"""

from typing import Any

from botocore.exceptions import ClientError
from sceptre.hooks import Hook

from spotfleet.stacks import account
from spotfleet.stacks.once import once_per_command

# Of EC2, and of IAM where a service role or a boundary says it.
DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}

Group = dict[str, Any]


class ClosedDefaultSecurityGroup(Hook):
    """Takes all rules, whoever has made them, from the default security group of the stack's VPC.

    Nothing of this project is in the group. While something else is, it is left as it is, so that no launch cuts off
    what somebody has put there.
    """

    @once_per_command
    def run(self) -> None:
        """Close the group if it is open, and say so in one line; a role that may not is told of, not an error."""
        account.require_right(self.stack, self.logger)
        try:
            for group in self._open_groups():
                self._close(group)
        except ClientError as error:
            if error.response["Error"]["Code"] not in DENIED:
                raise
            operation = error.operation_name
            service = "cloudformation" if operation == "DescribeStackResources" else "ec2"
            self.logger.warning(
                "The VPC's default security group may still be open: this role lacks %s:%s", service, operation
            )

    def _open_groups(self) -> list[Group]:
        vpcs = [item["PhysicalResourceId"] for item in self._resources() if item["ResourceType"] == "AWS::EC2::VPC"]
        filters = [{"Name": "vpc-id", "Values": vpcs}, {"Name": "group-name", "Values": ["default"]}]
        groups = self._call("ec2", "describe_security_groups", Filters=filters)["SecurityGroups"] if vpcs else []
        return [group for group in groups if group["IpPermissions"] or group["IpPermissionsEgress"]]

    def _close(self, group: Group) -> None:
        group_id = group["GroupId"]
        users = self._call("ec2", "describe_network_interfaces", Filters=[{"Name": "group-id", "Values": [group_id]}])[
            "NetworkInterfaces"
        ]
        if users:
            self.logger.warning(
                "The default security group %s stays open: %s are in it. Give them a group of their own; the next "
                "launch closes this one",
                group_id,
                ", ".join(user["NetworkInterfaceId"] for user in users),
            )
            return
        if group["IpPermissions"]:
            self._call("ec2", "revoke_security_group_ingress", GroupId=group_id, IpPermissions=group["IpPermissions"])
        if group["IpPermissionsEgress"]:
            rules = group["IpPermissionsEgress"]
            self._call("ec2", "revoke_security_group_egress", GroupId=group_id, IpPermissions=rules)
        count = len(group["IpPermissions"]) + len(group["IpPermissionsEgress"])
        self.logger.info("Closed the default security group %s of the VPC; rules taken away: %d", group_id, count)

    def _resources(self) -> list[dict[str, Any]]:
        answer = self._call("cloudformation", "describe_stack_resources", StackName=self.stack.external_name)
        resources: list[dict[str, Any]] = answer["StackResources"]
        return resources

    def _call(self, service: str, command: str, **kwargs: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.stack.connection_manager.call(service=service, command=command, kwargs=kwargs)
        return answer

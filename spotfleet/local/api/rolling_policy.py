"""The rolling update policy of a group, read from its stack's template."""

from spotfleet.behaviour.rolling_update import Policy, parameters, policy_in
from spotfleet.local.api import clients
from spotfleet.local.api.clients import pages

GROUP_TYPE = "AWS::AutoScaling::AutoScalingGroup"


def policy_of(cloudformation: clients.Client, group: str) -> Policy | None:
    """Return the rolling update policy that the template of a group's stack gives it, or None."""
    for stack in pages(cloudformation, "describe_stacks", "Stacks"):
        if stack["StackStatus"].startswith("DELETE"):
            continue
        name = stack["StackName"]
        for item in cloudformation.describe_stack_resources(StackName=name)["StackResources"]:
            if item["ResourceType"] == GROUP_TYPE and item.get("PhysicalResourceId") == group:
                body = cloudformation.get_template(StackName=name)["TemplateBody"]
                return policy_in(body, item["LogicalResourceId"], parameters(stack.get("Parameters", [])))
    return None

"""CloudFormation: what is an update at all (rule F2), and how one ends: what it has replaced goes in the cleanup (F1).

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html
"""

from collections.abc import Callable

from ministack.services import cloudformation as stacks_of
from ministack.services.cloudformation import changesets, engine, handlers, stacks

from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record

CLEANUP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
NO_CHANGES = "The submitted information didn't contain changes."

# Those of a stack, and which of them are exports.
Outputs = tuple[list[Record], Record]

# Of a resource. AWS's page has its policies among what is no update; MiniStack measured that two of them are:
# https://github.com/ministackorg/ministack/pull/1646
COMPARED = ("Type", "Properties", "Metadata", "DeletionPolicy", "UpdateReplacePolicy")


@extends(handlers, "_stack_has_no_updates")
def has_no_updates(
    original: Callable[..., bool],
    stack: Record,
    template: Record,
    parameters: Record,
    tags: list[Record],
    use_previous_template: bool = False,
    tags_given: bool = False,
) -> bool:
    """Refuse what changes neither resources nor outputs: conditions, parameters or an UpdatePolicy alone are no update.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html
    Outputs alone are one: https://github.com/aws/aws-cdk/pull/2029 and
    https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/2027
    """
    if original(stack, template, parameters, tags, use_previous_template, tags_given):
        return True
    if stacks._stack_tags_changed(stack, tags, tags_given) or engine._has_dynamic_references(template):
        return False
    before, after = _content(stack, *_deployed(stack)), _content(stack, template, parameters)
    return before == after


def let_outputs_change(stack: Record, change_set: Record) -> None:
    """Let a change set that changes outputs alone be executed; it names no change."""
    if not str(change_set["StatusReason"]).startswith(NO_CHANGES):
        return
    if _outputs(stack, *_deployed(stack)) != _outputs(stack, change_set["_template"], change_set["_resolved_params"]):
        change_set |= {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE", "StatusReason": ""}


def _deployed(stack: Record) -> tuple[Record, Record]:
    return stack.get("_template") or {}, stack.get("_resolved_params") or {}


def _content(stack: Record, template: Record, parameters: Record) -> tuple[Record, Record]:
    """Return what an update may change: the resources and outputs that are there by the conditions."""
    resources = {
        name: {key: item.get(key) for key in (*COMPARED, "Condition")}
        for name, item in template.get("Resources", {}).items()
    }
    return _present(stack, template, resources, parameters), _outputs(stack, template, parameters)


def _outputs(stack: Record, template: Record, parameters: Record) -> Record:
    outputs = {
        name: {"Properties": output, "Condition": output.get("Condition")}
        for name, output in template.get("Outputs", {}).items()
    }
    return _present(stack, template, outputs, parameters)


def _present(stack: Record, template: Record, definitions: Record, parameters: Record) -> Record:
    """Return the definitions whose conditions hold, as they are written and with the parameters put in.

    What they get from resources is known as it is written only.
    """
    conditions = engine._evaluate_conditions(template, parameters)
    present = {name: item for name, item in definitions.items() if conditions.get(item.pop("Condition"), True)}
    whole = {**template, "Resources": present}
    found = changesets._resolve_props_for_diff(whole, parameters, stack["StackName"], stack["StackId"])
    return {name: (item, found["Resources"][name]) for name, item in present.items()}


@extends(stacks, "_resolve_stack_outputs")
def beginning_the_cleanup(original: Callable[..., Outputs], *arguments: Record | str) -> Outputs:
    """Count an updated stack as updated, with its outputs, before anything that it has replaced or dropped goes."""
    outputs, exports = original(*arguments)
    *_rest, stack_name, stack_id = arguments
    stack = stacks_of._stacks.get(stack_name) or {}
    if stack.get("StackStatus") == "UPDATE_IN_PROGRESS":
        stack |= {"Outputs": outputs, "StackStatus": CLEANUP}
        stacks._add_event(stack_id, stack_name, stack_name, "AWS::CloudFormation::Stack", CLEANUP, "", stack_id)
    return outputs, exports


@extends(stacks, "_delete_resource")
def telling_of_the_cleanup(
    original: Callable[..., None], resource_type: str, physical_id: str, properties: Record, *owner: str
) -> None:
    """Tell in the stack's events what goes in its cleanup; of a rollback's MiniStack tells itself."""
    stack_name, logical_id = owner
    stack = stacks_of._stacks.get(stack_name) or {}
    place = (stack.get("StackId"), stack_name, logical_id, resource_type)
    cleans_up = stack.get("StackStatus") == CLEANUP
    if cleans_up:
        stacks._add_event(*place, "DELETE_IN_PROGRESS", "", physical_id)
    original(resource_type, physical_id, properties, *owner)
    if cleans_up:
        stacks._add_event(*place, "DELETE_COMPLETE", "", physical_id)

"""MiniStack's Elastic Load Balancing, with the checks of AWS's and with all that it is told.

MiniStack takes any text for any parameter, forgets what its own traffic handler has no use for (query string
conditions, regular expressions, weights, attributes of a new listener of a template) and writes some texts into its
XML as they are.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, cast
from xml.sax.saxutils import escape

from botocore.model import ListShape, Shape, StructureShape
from ministack.services import alb
from ministack.services.cloudformation import provisioners

from spotfleet.local.emulator import api_parameters, elbv2_validation
from spotfleet.local.emulator.elbv2_validation import Invalid
from spotfleet.local.emulator.patching import extends, replaces
from spotfleet.local.emulator.records import Record

Response = tuple[int, dict[str, str], bytes]
# A resource's physical id, and what Fn::GetAtt returns.
Resource = tuple[str, dict[str, str]]

CHECKED_OPERATIONS = (
    "CreateLoadBalancer",
    "ModifyLoadBalancerAttributes",
    "CreateListener",
    "ModifyListener",
    "ModifyListenerAttributes",
    "CreateRule",
    "ModifyRule",
    "SetRulePriorities",
    "CreateTargetGroup",
    "ModifyTargetGroup",
    "ModifyTargetGroupAttributes",
)
# What AWS never tells again.
SECRET_MEMBERS = ("ClientSecret",)
TYPE = "AWS::ElasticLoadBalancingV2::"
# Of a resource's properties, and its physical id when it exists already.
TemplateCheck = Callable[[Record, str], None]


# --- The API


def checked(original: Callable[[Record], Response], parameters: Record, *, operation: str) -> Response:
    """Refuse what AWS refuses of an operation's parameters."""
    try:
        wanted = _parsed(parameters, elbv2_validation.input_shape(operation), "")
        elbv2_validation.check(operation, wanted)
        _check_against_state(operation, wanted)
    except Invalid as invalid:
        refusal: Response = alb._error(invalid.code, str(invalid))
        return refusal
    return original(parameters)


def _parsed(parameters: Mapping[str, Any], shape: Shape, prefix: str) -> Any:  # noqa: ANN401  # what boto3 would take
    """Return a part of a query's flat parameters in the form that boto3 takes; None where it is not given.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/CommonParameters.html
    """
    match shape:
        case StructureShape():
            dotted = f"{prefix}." if prefix else ""
            members = {name: _parsed(parameters, member, dotted + name) for name, member in shape.members.items()}
            given = {name: value for name, value in members.items() if value is not None}
            return given if given or not prefix else None
        case ListShape():
            items: list[Any] = []
            while (item := _parsed(parameters, shape.member, f"{prefix}.member.{len(items) + 1}")) is not None:
                items.append(item)
            return items or None
    if prefix not in parameters:
        return None
    text = alb._p(parameters, prefix)
    if shape.type_name in ("integer", "long"):
        # What is no number stays text, which the check refuses.
        return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else text
    return text.lower() == "true" if shape.type_name == "boolean" else text


def _check_against_state(operation: str, wanted: Mapping[str, Any]) -> None:
    """Raise Invalid for what is refused because of what there already is."""
    _check_expressions(wanted.get("Conditions", []))
    _check_groups([*wanted.get("Actions", []), *wanted.get("DefaultActions", [])])
    if operation == "CreateRule":
        _check_priority(wanted["ListenerArn"], wanted["Priority"], but="")
    if operation == "CreateListener":
        _check_port(wanted["LoadBalancerArn"], wanted["Port"], but="")
    if operation == "ModifyListener" and (listener := alb._listeners.get(wanted["ListenerArn"])):
        _check_port(listener["LoadBalancerArn"], wanted.get("Port", listener["Port"]), but=wanted["ListenerArn"])
    if operation == "ModifyTargetGroup" and (group := alb._tgs.get(wanted["TargetGroupArn"])):
        names = ("HealthCheckIntervalSeconds", "HealthCheckTimeoutSeconds")
        elbv2_validation.check(operation, {name: group[name] for name in names} | dict(wanted))
    if operation == "RegisterTargets" and (group := alb._tgs.get(wanted["TargetGroupArn"])):
        elbv2_validation.check_targets(wanted["Targets"], group["TargetType"])


def _check_expressions(conditions: list[Record]) -> None:
    for condition in conditions:
        configs = [value for value in condition.values() if isinstance(value, dict)]
        for text in [text for place in (condition, *configs) for text in place.get("RegexValues", [])]:
            # The same language as that of a rule's transforms.
            if alb._regex_invalid(text):
                raise Invalid(f"The regular expression '{text}' is not valid")


def _check_groups(actions: list[Record]) -> None:
    for action in actions:
        weighted = action.get("ForwardConfig", {}).get("TargetGroups", [])
        arns = [group["TargetGroupArn"] for group in weighted] + [action.get("TargetGroupArn")]
        missing = [arn for arn in arns if arn and arn not in alb._tgs]
        if missing:
            raise Invalid(f"Target groups '{missing[0]}' not found", "TargetGroupNotFound")


def _check_port(balancer: str, port: int, but: str) -> None:
    taken = [
        one
        for arn, one in alb._listeners.items()
        if arn != but and one["LoadBalancerArn"] == balancer and one["Port"] == port
    ]
    if taken:
        raise Invalid(
            f"A listener already exists on this port for this load balancer '{balancer}'", "DuplicateListener"
        )


def _check_priority(listener: str, priority: int, but: str) -> None:
    for arn, rule in alb._rules.items():
        if arn != but and rule["ListenerArn"] == listener and rule["Priority"] == str(priority):
            raise Invalid(f"Priority '{priority}' is currently in use", "PriorityInUse")


# --- What is kept


@extends(alb, "_parse_actions")
def with_whole_actions(
    original: Callable[..., list[Record]], parameters: Record, prefix: str = "DefaultActions"
) -> list[Record]:
    return _merged(_parsed(parameters, _list_shape("Actions"), prefix), original(parameters, prefix))


@extends(alb, "_parse_conditions")
def with_whole_conditions(
    original: Callable[..., list[Record]], parameters: Record, prefix: str = "Conditions"
) -> list[Record]:
    return _conditions(_parsed(parameters, _list_shape("Conditions"), prefix), original(parameters, prefix))


def _list_shape(member: str) -> ListShape:
    return cast("ListShape", elbv2_validation.input_shape("CreateRule").members[member])


def _merged(whole: list[Record] | None, known: list[Record]) -> list[Record]:
    """Return items with all that was said, and the defaults that MiniStack put in."""
    return [said | kept for said, kept in zip(whole or [], known, strict=True)]


def _conditions(whole: list[Record] | None, known: list[Record]) -> list[Record]:
    """Return conditions as AWS tells them: the short form and the long form say the same."""
    kept = []
    for said, parsed in zip(whole or [], known, strict=True):
        condition = parsed | said
        field = str(said["Field"])
        config = elbv2_validation.CONDITION_CONFIGS[field]
        if field in elbv2_validation.SHORT_FIELDS:
            values = said.get(config, {}).get("Values") or said.get("Values", [])
            condition["Values"] = values
            condition[config] = said.get(config, {}) | ({"Values": values} if values else {})
        kept.append(condition)
    return kept


@replaces(alb, "_condition_xml")
def condition_xml(condition: Record) -> str:
    # MiniStack's own traffic handler reads Values of every field.
    short = condition["Field"] in elbv2_validation.SHORT_FIELDS
    return _member_xml("Conditions", condition if short else {**condition, "Values": []})


def _member_xml(member: str, value: Record) -> str:
    return f"<member>{_xml(value, _list_shape(member).member)}</member>"


def _xml(value: Any, shape: Shape) -> str:  # noqa: ANN401  # what boto3 would take
    match shape:
        case StructureShape():
            told = {name: value[name] for name in shape.members if name in value and name not in SECRET_MEMBERS}
            return "".join(f"<{name}>{_xml(one, shape.members[name])}</{name}>" for name, one in told.items())
        case ListShape():
            return "".join(f"<member>{_xml(item, shape.member)}</member>" for item in value)
    return escape(str(value).lower() if isinstance(value, bool) else str(value))


def _escaped(value: Any) -> Any:  # noqa: ANN401  # a record of any form
    match value:
        case dict():
            return {key: _escaped(item) for key, item in value.items()}
        case list():
            return [_escaped(item) for item in value]
        case str():
            return escape(value)
    return value


# --- CloudFormation: MiniStack's resource types write into the same tables


def _check_template(operation: str, properties: Mapping[str, Any], **more: Any) -> Record:  # noqa: ANN401
    """Check a resource's properties as the operation that makes it would."""
    shape = elbv2_validation.input_shape(operation)
    known = {name: value for name, value in properties.items() if name in shape.members and value is not None}
    wanted: Record = api_parameters.converted(known | more, shape)
    elbv2_validation.check(operation, wanted)
    return wanted


def _check_attributes(operation: str, key: str, attributes: list[Record] | None) -> None:
    if attributes:
        _check_template(operation, {}, **{key: "given", "Attributes": attributes})


def _check_balancer(properties: Record, _physical_id: str) -> None:
    # Without a name CloudFormation makes one; subnets and groups are ids of other resources.
    names = ("Name", "Scheme", "Type", "IpAddressType")
    given = {name: properties[name] for name in names if name in properties}
    _check_template("CreateLoadBalancer", {"Name": "made", **given})
    operation = "ModifyLoadBalancerAttributes"
    _check_attributes(operation, "LoadBalancerArn", properties.get("LoadBalancerAttributes"))


def _check_listener(properties: Record, physical_id: str) -> None:
    wanted = _check_template("CreateListener", properties)
    _check_port(wanted["LoadBalancerArn"], wanted["Port"], but=physical_id)
    _check_groups(wanted["DefaultActions"])
    _check_attributes("ModifyListenerAttributes", "ListenerArn", properties.get("ListenerAttributes"))


def _check_rule(properties: Record, physical_id: str) -> None:
    wanted = _check_template("CreateRule", properties)
    _check_priority(wanted["ListenerArn"], wanted["Priority"], but=physical_id)
    _check_expressions(wanted["Conditions"])
    _check_groups(wanted["Actions"])


def _check_target_group(properties: Record, _physical_id: str) -> None:
    _check_template("CreateTargetGroup", {"Name": "made", **properties})
    operation = "ModifyTargetGroupAttributes"
    _check_attributes(operation, "TargetGroupArn", properties.get("TargetGroupAttributes"))


# The name of a type in the names of MiniStack's functions, and its check.
TEMPLATE_CHECKS: dict[str, tuple[str, TemplateCheck]] = {
    "LoadBalancer": ("load_balancer", _check_balancer),
    "Listener": ("listener", _check_listener),
    "ListenerRule": ("listener_rule", _check_rule),
    "TargetGroup": ("target_group", _check_target_group),
}


@extends(provisioners, "_elbv2_listener_actions")
def with_whole_template_actions(
    original: Callable[..., list[Record]], properties: Record, balancer: str | None, prop: str = "DefaultActions"
) -> list[Record]:
    whole = api_parameters.converted(properties.get(prop) or [], _list_shape("Actions"))
    return _merged(whole, original(properties, balancer, prop))


@extends(provisioners, "_flatten_listener_rule_conditions")
def with_whole_template_conditions(original: Callable[..., list[Record]], given: list[Record]) -> list[Record]:
    return _conditions(api_parameters.converted(given, _list_shape("Conditions")), original(given))


def _create_with_attributes(
    original: Callable[..., Resource], logical_id: str, properties: Record, stack_name: str
) -> Resource:
    """Create a listener with the attributes that its template gives it."""
    arn, attributes = original(logical_id, properties, stack_name)
    alb._listener_attrs[arn] = [{"Key": "routing.http.response.server.enabled", "Value": "true"}]
    provisioners._elbv2_merge_attributes(alb._listener_attrs[arn], properties.get("ListenerAttributes"))
    return arn, attributes


def _checked_resource(
    original: Callable[..., Resource],
    *arguments: Any,  # noqa: ANN401  # create and update differ
    check: TemplateCheck,
    properties_index: int,
    **named: Any,  # noqa: ANN401
) -> Resource:
    """Check what a template says of a resource before MiniStack makes it."""
    try:
        # An update begins with the id of the resource.
        check(arguments[properties_index], "" if properties_index == 1 else arguments[0])
    except Invalid as invalid:
        raise provisioners._elbv2_handler_error(str(invalid)) from None
    if check is _check_listener and properties_index == 1:
        return _create_with_attributes(original, *arguments)
    return original(*arguments, **named)


for kind, (name, check) in TEMPLATE_CHECKS.items():
    for action, index in (("create", 1), ("update", 2)):
        holder = (provisioners._RESOURCE_HANDLERS[TYPE + kind], action)
        place = f"_elbv2_{name}_{action}"
        extends(provisioners, place, held_by=[holder], check=check, properties_index=index)(_checked_resource)
for operation in CHECKED_OPERATIONS:
    extends(alb._ACTION_MAP, operation, operation=operation)(checked)


@replaces(alb, "_action_xml")
def action_xml(action: Record) -> str:
    """Tell an action with all that was said of it."""
    return _member_xml("Actions", action)


@extends(alb, "_lb_xml")
@extends(alb, "_tg_xml")
@extends(alb, "_attrs_xml")
def escaped_xml(original: Callable[[Any], str], record: Any) -> str:  # noqa: ANN401  # a record or a list
    """Escape what MiniStack writes into its XML as it is."""
    return original(_escaped(record))


@replaces(alb, "_target_group_full_name_from_arn")
def target_group_full_name(arn: str) -> str:
    """Let Fn::GetAtt TargetGroupFullName be the dimension of the group's metrics: MiniStack cuts its beginning off.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
    """
    return arn.rpartition(":")[2]

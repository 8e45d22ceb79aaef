"""The Application Auto Scaling API, which MiniStack lacks, for the number of tasks of ECS services.

It keeps what it is told and holds a service within its bounds; local.scaling acts on the policies and schedules.
https://docs.aws.amazon.com/autoscaling/application/APIReference/Welcome.html
"""

import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import uuid4

import botocore.session
from botocore.exceptions import ClientError
from botocore.model import StringShape
from botocore.validate import ParamValidator

from spotfleet.facts import schedule
from spotfleet.local.api import clients
from spotfleet.local.backchannel import scaling_activities
from spotfleet.local.backchannel.scaling_activities import Parameters

TARGET_PREFIX = "AnyScaleFrontendService."
# Data points, of one minute each or of 20 seconds, that must be over, or under, before target tracking acts.
SCALE_OUT_PERIODS = 3
SCALE_IN_PERIODS = 15
SCALE_IN_SHARE = 0.9
PREDEFINED_ECS_METRICS = {
    "ECSServiceAverageCPUUtilization": "CPUUtilization",
    "ECSServiceAverageMemoryUtilization": "MemoryUtilization",
}
# Of metrics every 20 seconds (rule T12). How many periods AWS has is unknown: three fit the 86 s that it measured.
HIGH_RESOLUTION = "HighResolution"
SUSPENDABLE = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
SERVICE_LINKED_ROLE = (
    "aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService"
)
# The resource of the dimension ecs:service:DesiredCount.
ECS_SERVICE = re.compile(r"^service/(?P<cluster>[^/]+)/(?P<service>[^/]+)$")

# Namespace, resource and dimension: what makes a scalable target.
Key = tuple[str, str, str]


class ApiError(Exception):
    """An answer as AWS gives it: an error's code and its text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Scope:
    """What one account holds in one region."""

    account: str
    region: str
    targets: dict[Key, Parameters] = field(default_factory=dict)
    policies: dict[tuple[Key, str], Parameters] = field(default_factory=dict)
    scheduled_actions: dict[tuple[Key, str], Parameters] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)

    def arn(self, kind: str) -> str:
        """Return a new ARN."""
        return f"arn:aws:application-autoscaling:{self.region}:{self.account}:{kind}"


class ApplicationAutoScaling:
    """Answers the operations of the API from memory."""

    def __init__(self) -> None:
        self._model = botocore.session.get_session().get_service_model("application-autoscaling")
        self._scopes: dict[tuple[str, str], Scope] = {}
        self._operations: dict[str, Callable[[Scope, Parameters], Parameters]] = {
            "DeleteScalingPolicy": _delete_scaling_policy,
            "DeleteScheduledAction": _delete_scheduled_action,
            "DeregisterScalableTarget": _deregister_scalable_target,
            "DescribeScalableTargets": _describe_scalable_targets,
            "DescribeScalingActivities": _describe_scaling_activities,
            "DescribeScalingPolicies": _describe_scaling_policies,
            "DescribeScheduledActions": _describe_scheduled_actions,
            "ListTagsForResource": _list_tags,
            "PutScalingPolicy": _put_scaling_policy,
            "PutScheduledAction": _put_scheduled_action,
            "RegisterScalableTarget": _register_scalable_target,
            "TagResource": _tag,
            "UntagResource": _untag,
        }

    def answer(self, operation: str, account: str, region: str, body: bytes) -> tuple[int, bytes]:
        """Return the HTTP status and the JSON body of the answer to one request."""
        try:
            if operation not in self._operations:
                raise ApiError("UnknownOperationException", f"The embedded AWS has no {operation}.")
            parameters = self._validated(operation, body)
            scope = self._scopes.setdefault((account, region), Scope(account, region))
            return 200, json.dumps(self._operations[operation](scope, parameters)).encode()
        except ApiError as error:
            return 400, json.dumps({"__type": error.code, "message": str(error)}).encode()

    def _validated(self, operation: str, body: bytes) -> Parameters:
        try:
            parameters: Parameters = json.loads(body or b"{}")
        except ValueError as error:
            raise ApiError("SerializationException", "The request is not JSON.") from error
        shape = self._model.operation_model(operation).input_shape
        if shape is None:
            return parameters
        problems = ParamValidator().validate(_without_times(parameters), shape).generate_report().splitlines()
        enumerations = {name: member.enum for name, member in shape.members.items() if isinstance(member, StringShape)}
        problems += [
            f"Value '{parameters[name]}' at '{name[0].lower()}{name[1:]}' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(allowed)}]"
            for name, allowed in enumerations.items()
            if allowed and name in parameters and parameters[name] not in allowed
        ]
        if problems:
            plural = "s" if len(problems) > 1 else ""
            text = f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}"
            raise ApiError("ValidationException", text)
        return parameters


def _without_times(parameters: Parameters) -> Parameters:
    """Return the parameters without times: they are numbers on the wire, which the validator does not take."""
    return {name: value for name, value in parameters.items() if name not in ("StartTime", "EndTime")}


def _key(parameters: Parameters) -> Key:
    return parameters["ServiceNamespace"], parameters["ResourceId"], parameters["ScalableDimension"]


def _identity(key: Key) -> Parameters:
    return dict(zip(("ServiceNamespace", "ResourceId", "ScalableDimension"), key, strict=True))


def _require_target(scope: Scope, key: Key) -> Parameters:
    if key not in scope.targets:
        namespace, resource, dimension = key
        raise ApiError(
            "ObjectNotFoundException",
            f"No scalable target registered for service namespace: {namespace}, resource ID: {resource}, "
            f"scalable dimension: {dimension}",
        )
    return scope.targets[key]


def _register_scalable_target(scope: Scope, parameters: Parameters) -> Parameters:
    key = _key(parameters)
    target = dict(scope.targets.get(key, {}))
    if not target and not {"MinCapacity", "MaxCapacity"} <= parameters.keys():
        missing = "MinCapacity" if "MinCapacity" not in parameters else "MaxCapacity"
        raise ApiError("ValidationException", f"{missing} is required to register a new scalable target")
    target.update({name: parameters[name] for name in ("MinCapacity", "MaxCapacity") if name in parameters})
    if target["MinCapacity"] > target["MaxCapacity"]:
        raise ApiError("ValidationException", "Maximum capacity cannot be less than minimum capacity")
    desired = _desired_count(scope, key)
    target["SuspendedState"] = {
        **dict.fromkeys(SUSPENDABLE, False),
        **target.get("SuspendedState", {}),
        **parameters.get("SuspendedState", {}),
    }
    scope.targets[key] = {
        **_identity(key),
        "ScalableTargetARN": scope.arn(f"scalable-target/{uuid4().hex[:20]}"),
        "RoleARN": f"arn:aws:iam::{scope.account}:role/{SERVICE_LINKED_ROLE}",
        "CreationTime": time.time(),
        **target,
    }
    arn = scope.targets[key]["ScalableTargetARN"]
    scope.tags.setdefault(arn, {}).update(parameters.get("Tags", {}))
    bounded = min(max(desired, target["MinCapacity"]), target["MaxCapacity"])
    if bounded != desired:
        _set_desired_count(scope, key, bounded)
    return {"ScalableTargetARN": arn}


def _ecs_service(key: Key) -> dict[str, str]:
    """Return the parameters that name the service of a target."""
    namespace, resource, dimension = key
    match = ECS_SERVICE.match(resource)
    if namespace != "ecs" or dimension != "ecs:service:DesiredCount" or not match:
        raise ApiError(
            "ValidationException",
            f"Unsupported service namespace, resource type or scalable dimension: {namespace}, {resource}, {dimension}",
        )
    return match.groupdict()


def _desired_count(scope: Scope, key: Key) -> int:
    name = _ecs_service(key)
    not_there = ApiError("ValidationException", f"ECS service doesn't exist: {key[1]}")
    try:
        ecs = clients.client("ecs", scope.region, scope.account)
        services = ecs.describe_services(cluster=name["cluster"], services=[name["service"]])["services"]
    except ClientError as error:
        raise not_there from error
    if not services or services[0]["status"] != "ACTIVE":
        raise not_there
    return int(services[0]["desiredCount"])


def _set_desired_count(scope: Scope, key: Key, count: int) -> None:
    ecs = clients.client("ecs", scope.region, scope.account)
    ecs.update_service(**_ecs_service(key), desiredCount=count)


def _deregister_scalable_target(scope: Scope, parameters: Parameters) -> Parameters:
    key = _key(parameters)
    target = _require_target(scope, key)
    for policy_key in [item for item in scope.policies if item[0] == key]:
        _delete_alarms(scope, scope.policies.pop(policy_key))
    for action_key in [item for item in scope.scheduled_actions if item[0] == key]:
        del scope.scheduled_actions[action_key]
    scope.tags.pop(target["ScalableTargetARN"], None)
    del scope.targets[key]
    return {}


def _describe_scalable_targets(scope: Scope, parameters: Parameters) -> Parameters:
    return {"ScalableTargets": _matching(scope.targets.values(), parameters, "ResourceId", "ResourceIds")}


def _matching(items: Iterable[Parameters], parameters: Parameters, name: str, wanted: str) -> list[Parameters]:
    """Return the items of the namespace, of the dimension and resource where given, and of the wanted names."""
    found = []
    for item in items:
        same = all(
            item[member] == parameters[member]
            for member in ("ServiceNamespace", "ScalableDimension", "ResourceId")
            if member in parameters
        )
        if same and item[name] in parameters.get(wanted, [item[name]]):
            found.append(item)
    return found


def _put_scaling_policy(scope: Scope, parameters: Parameters) -> Parameters:
    key = _key(parameters)
    _require_target(scope, key)
    policy_key = (key, parameters["PolicyName"])
    old = scope.policies.get(policy_key, {})
    policy = {
        "PolicyARN": old.get("PolicyARN")
        or scope.arn(f"scalingPolicy:{uuid4()}:resource/{key[0]}/{key[1]}:policyName/{parameters['PolicyName']}"),
        "CreationTime": old.get("CreationTime") or time.time(),
        **{name: value for name, value in old.items() if name.endswith("Configuration")},
        "PolicyType": old.get("PolicyType", "StepScaling"),
        **parameters,
    }
    needed = f"{policy['PolicyType']}PolicyConfiguration"
    if policy["PolicyType"] != "TargetTrackingScaling":
        only = "only TargetTrackingScaling is supported here"
        raise ApiError("ValidationException", f"{policy['PolicyType']}: {only}")
    if needed not in policy:
        raise ApiError("ValidationException", f"{needed} is required for the policy type {policy['PolicyType']}")
    _delete_alarms(scope, old)
    policy["Alarms"] = _put_alarms(scope, key, policy)
    scope.policies[policy_key] = policy
    return {"PolicyARN": policy["PolicyARN"], "Alarms": policy["Alarms"]}


def _put_alarms(scope: Scope, key: Key, policy: Parameters) -> list[Parameters]:
    """Make the two CloudWatch alarms by which target tracking acts, and return their names and ARNs."""
    tracking = policy.get("TargetTrackingScalingPolicyConfiguration")
    metric = _tracked_metric(key, tracking) if tracking else None
    if tracking is None or metric is None:
        return []
    target = float(tracking["TargetValue"])
    kinds = [("AlarmHigh", "GreaterThanThreshold", target, SCALE_OUT_PERIODS)]
    if not tracking.get("DisableScaleIn"):
        kinds.append(("AlarmLow", "LessThanThreshold", target * SCALE_IN_SHARE, SCALE_IN_PERIODS))
    alarms = []
    for kind, comparison, threshold, periods in kinds:
        name = f"TargetTracking-{key[1]}-{kind}-{uuid4()}"
        clients.client("cloudwatch", scope.region, scope.account).put_metric_alarm(
            AlarmName=name,
            AlarmDescription=f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy['PolicyARN']}.",
            ComparisonOperator=comparison,
            Threshold=threshold,
            EvaluationPeriods=periods,
            AlarmActions=[policy["PolicyARN"]],
            **{"Period": 60, **metric},
        )
        alarms.append(
            {"AlarmName": name, "AlarmARN": f"arn:aws:cloudwatch:{scope.region}:{scope.account}:alarm:{name}"}
        )
    return alarms


def _tracked_metric(key: Key, tracking: Parameters) -> Parameters | None:
    """Return what an alarm watches, or None for a metric whose source is no ECS service."""
    custom = tracking.get("CustomizedMetricSpecification")
    if custom and "MetricName" in custom:
        return {name: custom[name] for name in ("MetricName", "Namespace", "Dimensions", "Statistic") if name in custom}
    specification = tracking.get("PredefinedMetricSpecification", {})
    predefined = specification.get("PredefinedMetricType", "").removesuffix(HIGH_RESOLUTION)
    if predefined == "ALBRequestCountPerTarget":
        # app/<balancer>/<id>/targetgroup/<group>/<id>
        group = "/".join(specification.get("ResourceLabel", "").split("/")[3:])
        return {
            "Namespace": "AWS/ApplicationELB",
            "MetricName": "RequestCountPerTarget",
            "Dimensions": [{"Name": "TargetGroup", "Value": group}],
            "Statistic": "Sum",
        }
    if predefined not in PREDEFINED_ECS_METRICS:
        return None
    name = _ecs_service(key)
    dimensions = [{"Name": "ClusterName", "Value": name["cluster"]}, {"Name": "ServiceName", "Value": name["service"]}]
    return {
        "Namespace": "AWS/ECS",
        "MetricName": PREDEFINED_ECS_METRICS[predefined],
        "Dimensions": dimensions,
        "Statistic": "Average",
        "Period": 20 if specification["PredefinedMetricType"].endswith(HIGH_RESOLUTION) else 60,
    }


def _delete_alarms(scope: Scope, policy: Parameters) -> None:
    names = [alarm["AlarmName"] for alarm in policy.get("Alarms", [])]
    if names:
        clients.client("cloudwatch", scope.region, scope.account).delete_alarms(AlarmNames=names)


def _describe_scaling_policies(scope: Scope, parameters: Parameters) -> Parameters:
    return {"ScalingPolicies": _matching(scope.policies.values(), parameters, "PolicyName", "PolicyNames")}


def _delete_scaling_policy(scope: Scope, parameters: Parameters) -> Parameters:
    key, name = _key(parameters), parameters["PolicyName"]
    if (key, name) not in scope.policies:
        raise ApiError("ObjectNotFoundException", f"No scaling policy found for {'/'.join(key)}, policy name: {name}")
    _delete_alarms(scope, scope.policies.pop((key, name)))
    return {}


def _put_scheduled_action(scope: Scope, parameters: Parameters) -> Parameters:
    key, name = _key(parameters), parameters["ScheduledActionName"]
    _require_target(scope, key)
    old = scope.scheduled_actions.get((key, name), {})
    if "Schedule" not in {**old, **parameters}:
        raise ApiError("ValidationException", "Schedule is required to create a scheduled action")
    try:
        schedule.parse({**old, **parameters}["Schedule"])
    except ValueError as error:
        raise ApiError("ValidationException", str(error)) from error
    arn = scope.arn(f"scheduledAction:{uuid4()}:resource/{key[0]}/{key[1]}:scheduledActionName/{name}")
    scope.scheduled_actions[key, name] = {
        "ScheduledActionARN": arn,
        "CreationTime": time.time(),
        **old,
        **parameters,
    }
    return {}


def _describe_scheduled_actions(scope: Scope, parameters: Parameters) -> Parameters:
    items = scope.scheduled_actions.values()
    return {"ScheduledActions": _matching(items, parameters, "ScheduledActionName", "ScheduledActionNames")}


def _delete_scheduled_action(scope: Scope, parameters: Parameters) -> Parameters:
    key, name = _key(parameters), parameters["ScheduledActionName"]
    if (key, name) not in scope.scheduled_actions:
        raise ApiError("ObjectNotFoundException", f"No scheduled action found for {'/'.join(key)}, name: {name}")
    del scope.scheduled_actions[key, name]
    return {}


def _describe_scaling_activities(scope: Scope, parameters: Parameters) -> Parameters:
    kept = scaling_activities.told(scope.region, scope.account)
    return {"ScalingActivities": _matching(kept, parameters, "ActivityId", "")}


def _tagged(scope: Scope, parameters: Parameters) -> dict[str, str]:
    arn = parameters["ResourceARN"]
    if arn not in scope.tags:
        raise ApiError("ResourceNotFoundException", f"Resource does not exist: {arn}")
    return scope.tags[arn]


def _list_tags(scope: Scope, parameters: Parameters) -> Parameters:
    return {"Tags": _tagged(scope, parameters)}


def _tag(scope: Scope, parameters: Parameters) -> Parameters:
    _tagged(scope, parameters).update(parameters["Tags"])
    return {}


def _untag(scope: Scope, parameters: Parameters) -> Parameters:
    for key in parameters["TagKeys"]:
        _tagged(scope, parameters).pop(key, None)
    return {}

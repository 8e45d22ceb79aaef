"""boto3's own clients with answers that a test gives: botocore's Stubber, for calls of any number and order."""

import copy
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ParamValidationError
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator

REGION = "eu-west-1"
# Nobody sees it, and to make the usual one takes a third of a call's time.
CONFIG = Config(user_agent="tests")
EPOCH = datetime.fromtimestamp(0, UTC)
Answer = dict[str, Any]


def group(name: str = "group", **described: object) -> Answer:
    """Return what Auto Scaling answers of a group: what AWS always tells, and what is given."""
    always = {
        **{"AutoScalingGroupName": name, "MinSize": 0, "MaxSize": 1, "DesiredCapacity": 1, "DefaultCooldown": 300},
        **{"AvailabilityZones": ["eu-west-1a"], "HealthCheckType": "EC2", "CreatedTime": EPOCH, "Instances": []},
    }
    return always | described


def member(instance: str, **described: object) -> Answer:
    """Return what Auto Scaling answers of a machine of a group: what AWS always tells, and what is given."""
    always = {"AvailabilityZone": "eu-west-1a", "LifecycleState": "InService", "HealthStatus": "HEALTHY"}
    return {"InstanceId": instance, "ProtectedFromScaleIn": False, **always, **described}


def activity(started: datetime, **described: object) -> Answer:
    """Return what Auto Scaling answers of an activity of a group: what AWS always tells, and what is given."""
    always = {"ActivityId": "activity", "AutoScalingGroupName": "group", "Cause": "a test", "StatusCode": "Successful"}
    return {"StartTime": started, **always, **described}


def stack(status: str, **described: object) -> Answer:
    """Return what CloudFormation answers of a stack: what AWS always tells, and what is given."""
    return {"StackName": "stack", "CreationTime": EPOCH, "StackStatus": status, **described}


def resource(kind: str, physical_id: str) -> Answer:
    """Return what CloudFormation answers of a stack's resource."""
    always = {"LogicalResourceId": "Resource", "ResourceStatus": "CREATE_COMPLETE", "Timestamp": EPOCH}
    return {"ResourceType": kind, "PhysicalResourceId": physical_id, **always}


def _wrong(answered: Answer, shape: Shape) -> list[str]:
    """Return what AWS's model has against an answer.

    Some lists have to hold something by their models, such as ECR's of images, and come empty for all that.
    """
    found = ParamValidator().validate(answered, shape).generate_report().splitlines()
    return [line for line in found if "value: 0, valid min length" not in line]


def answering(service: str, answers: object) -> Any:  # noqa: ANN401  # boto3 makes its class at run time
    """Return a client whose operations answer as the methods of an object that have their names.

    botocore holds what is asked to AWS's model of the service, and here what is answered as well. What the methods
    raise, such as ClientError, the caller gets; an operation without a method is an AttributeError.
    """
    client = boto3.client(service, region_name=REGION, config=CONFIG)  # type: ignore[call-overload]  # as in clients

    def remember(params: dict[str, Any], context: dict[str, Any], **_event: object) -> None:
        context["asked"] = dict(params)

    def answer(model: OperationModel, context: dict[str, Any], **_event: object) -> tuple[AWSResponse, Answer]:
        method = getattr(answers, botocore.xform_name(model.name))
        answered: Answer = copy.deepcopy(method(**context["asked"])) or {}
        if model.output_shape and (wrong := _wrong(answered, model.output_shape)):
            raise ParamValidationError(report="\n".join(wrong))
        return AWSResponse("", 200, HTTPHeaders(), None), answered

    client.meta.events.register("before-parameter-build", remember)
    client.meta.events.register("before-call", answer)
    return client

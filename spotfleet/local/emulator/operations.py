"""Which operations of AWS the embedded AWS answers: those that something here uses, and no others.

MiniStack knows 150 services, and some of them run what they are given on this machine, Lambda and CodeBuild for
instance. Here is what Sceptre, the hooks, the templates' resources, the controllers and the README ask for. Reading is
answered in each of these services, because a person looks at what was launched.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from spotfleet.local.api.signature import Request

READING = re.compile(r"(Describe|List|Get)[A-Z]\w*")

# What changes something, by the name that a request is signed for.
CHANGING = {
    # Where a domain is not in Route 53, its certificate is there before the environment.
    "acm": {"RequestCertificate", "DeleteCertificate"},
    "application-autoscaling": {
        *("RegisterScalableTarget", "DeregisterScalableTarget", "PutScalingPolicy", "DeleteScalingPolicy"),
        *("PutScheduledAction", "DeleteScheduledAction", "TagResource", "UntagResource"),
    },
    "autoscaling": {
        *("SetDesiredCapacity", "UpdateAutoScalingGroup", "TerminateInstanceInAutoScalingGroup"),
        *("CompleteLifecycleAction", "RecordLifecycleActionHeartbeat", "StartInstanceRefresh"),
        *("CancelInstanceRefresh", "SuspendProcesses", "ResumeProcesses", "CreateOrUpdateTags", "DeleteTags"),
        *("PutScheduledUpdateGroupAction", "DeleteScheduledAction"),
    },
    "cloudformation": {
        *("CreateStack", "UpdateStack", "DeleteStack", "CancelUpdateStack", "ContinueUpdateRollback", "RollbackStack"),
        *("CreateChangeSet", "ExecuteChangeSet", "DeleteChangeSet", "DetectStackDrift", "DetectStackResourceDrift"),
        *("ValidateTemplate", "EstimateTemplateCost", "SetStackPolicy", "UpdateTerminationProtection"),
        "SignalResource",
    },
    "ec2": {
        *("RunInstances", "TerminateInstances", "CreateTags", "DeleteTags", "ModifyInstanceAttribute"),
        *("CreateNatGateway", "DeleteNatGateway", "AllocateAddress", "ReleaseAddress", "AssociateAddress"),
        *("CreateFlowLogs", "DeleteFlowLogs", "CreateEgressOnlyInternetGateway", "DeleteEgressOnlyInternetGateway"),
        *("AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress", "ModifySecurityGroupRules"),
        *("RevokeSecurityGroupIngress", "RevokeSecurityGroupEgress", "ModifyVpcEndpoint"),
        *("AssociateVpcCidrBlock", "DisassociateVpcCidrBlock"),
    },
    "ecr": {
        *("GetAuthorizationToken", "BatchGetImage", "BatchDeleteImage", "CreateRepository", "DeleteRepository"),
    },
    "ecs": {
        *("CreateCluster", "DeleteCluster", "CreateService", "UpdateService", "DeleteService", "TagResource"),
        *("CreateCapacityProvider", "UpdateCapacityProvider", "DeleteCapacityProvider", "UntagResource"),
        *("PutClusterCapacityProviders", "RegisterTaskDefinition", "DeregisterTaskDefinition", "StopTask"),
        *("RegisterContainerInstance", "DeregisterContainerInstance", "UpdateContainerInstancesState"),
        *("SubmitTaskStateChange", "SubmitContainerStateChange"),
    },
    "elasticloadbalancing": {
        *("ModifyLoadBalancerAttributes", "ModifyListenerAttributes", "ModifyTargetGroupAttributes"),
        *("RegisterTargets", "DeregisterTargets", "CreateListener", "ModifyListener", "CreateRule", "ModifyRule"),
        *("DeleteRule", "DeleteListener", "SetRulePriorities", "CreateTargetGroup", "ModifyTargetGroup"),
        *("DeleteTargetGroup", "CreateLoadBalancer", "DeleteLoadBalancer"),
    },
    # Who wants ECS's events, for a rehearsal: nothing leaves this machine by a rule.
    "events": {"PutRule", "DeleteRule", "PutTargets", "RemoveTargets"},
    "iam": set[str](),
    "logs": {"FilterLogEvents", "StartLiveTail"},
    "monitoring": {"PutMetricData", "PutMetricAlarm", "DeleteAlarms", "SetAlarmState"},
    "route53": set[str](),
    "s3": {"PutObject", "DeleteObject"},
    # The secrets of tasks, which a person puts there for a rehearsal.
    "secretsmanager": {"CreateSecret", "PutSecretValue", "DeleteSecret"},
    "sns": set[str](),
    # What workers and those who give them work do.
    "sqs": {
        *("ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "CreateQueue", "DeleteMessage"),
        *("DeleteMessageBatch", "DeleteQueue", "PurgeQueue", "ReceiveMessage", "SendMessage", "SendMessageBatch"),
        "SetQueueAttributes",
    },
    "ssm": {"PutParameter", "DeleteParameter"},
    "sts": {"AssumeRole"},
    "tagging": set[str](),
    "wafv2": {"AssociateWebACL", "DisassociateWebACL", "PutLoggingConfiguration", "DeleteLoggingConfiguration"},
}
# Of what else there is to read, this is worth something to a thief.
NEVER = {("secretsmanager", "GetRandomPassword"), ("sts", "GetFederationToken"), ("sts", "GetSessionToken")}

# The service that a request is for, as its headers name it, by the protocol: JSON, and CBOR, in which boto3 talks to
# CloudWatch.
JSON_TARGETS = {
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
    "AmazonEC2ContainerServiceV20141113": "ecs",
    "AmazonSQS": "sqs",
    "AmazonSSM": "ssm",
    "AnyScaleFrontendService": "application-autoscaling",
    "AWSEvents": "events",
    "AWSWAF_20190729": "wafv2",
    "CertificateManager": "acm",
    "GraniteServiceVersion20100801": "monitoring",
    "Logs_20140328": "logs",
    "ResourceGroupsTaggingAPI_20170126": "tagging",
    "secretsmanager": "secretsmanager",
}
CBOR_PATH = re.compile(r"/service/(?P<target>\w+)/operation/(?P<operation>\w+)")
QUERY_SERVICES = {
    *("autoscaling", "cloudformation", "ec2", "elasticloadbalancing", "iam", "monitoring", "sns", "sts"),
}
CHUNKED = {"x-amz-decoded-content-length", "x-amz-trailer"}
FORM = "application/x-www-form-urlencoded"
# Buckets and objects in them, by path; three characters, and no name that looks like a version of another API.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
S3_TARGET = re.compile(r"/(?:(?!\d{4}-\d\d-\d\d[/?]|v\d+[/?])[a-z0-9][a-z0-9.-]{2,62}(?:/[^?]*)?)?(?:\?(?P<query>.*))?")
S3_METHODS = {"GET", "HEAD", "PUT", "DELETE"}
S3_PARTS = {
    *("", "encryption", "lifecycle", "location", "ownershipControls", "policy", "publicAccessBlock", "tagging"),
    *("versioning", "continuation-token", "delimiter", "encoding-type", "fetch-owner", "list-type", "marker"),
    *("max-keys", "prefix", "start-after", "versionId", "x-id"),
}
ROUTE53_PATH = re.compile(r"/2013-04-01/(hostedzone|hostedzonesbyname|hostedzonecount)(/\w+)?(/rrset)?/?(\?.*)?")


class NotAnswered(Exception):  # noqa: N818  # it is what is told to the client
    """An operation that nothing here uses; its text says which."""


@dataclass(frozen=True)
class Operation:
    """An operation of AWS, "ecs" and "CreateService"; services are named as requests to them are signed."""

    service: str
    name: str


# Services of which no environment knows anything; a worker asks for its messages all the time.
OF_ITS_USER = {"sqs"}
# Of what is published each minute nothing follows until somebody reads it.
PUBLISHING = Operation("monitoring", "PutMetricData")


def may_change(operation: Operation) -> bool:
    """Return whether what the APIs tell of an environment may be something else after a call."""
    return operation.service not in OF_ITS_USER and not READING.fullmatch(operation.name)


def publishes(operation: Operation) -> bool:
    """Return whether a call changes no more than a metric."""
    return operation == PUBLISHING


def require_answered(request: Request, service: str) -> Operation:
    """Return which operation of `service`, which it was signed for, a request asks for. Raises NotAnswered."""
    if service not in CHANGING:
        raise NotAnswered(f"{service} is no service that is used here")
    # MiniStack would take another body out of such a one than was read here. Clients send them over TLS only.
    if CHUNKED & request.headers.keys() or "aws-chunked" in request.headers.get("content-encoding", ""):
        raise NotAnswered("a body comes as it is, not in chunks of its own")
    operation = _operation(request, service)
    if (service, operation.name) in NEVER or not (
        operation.name in CHANGING[service] or READING.fullmatch(operation.name)
    ):
        raise NotAnswered(f"{service}:{operation.name} is no operation that is used here")
    return operation


def _operation(request: Request, service: str) -> Operation:
    """Read the operation where, and only where, the protocol of the service has it: nothing may be read in two ways."""
    if "x-amz-target" in request.headers and service not in JSON_TARGETS.values():
        raise NotAnswered(f"{service} is not asked with X-Amz-Target")
    if service == "s3":
        return Operation(service, _s3_operation(request))
    if service == "route53":
        if not ROUTE53_PATH.fullmatch(request.target) or request.method not in {"GET", "DELETE"}:
            raise NotAnswered(f"route53 is read here only, not {request.method} {request.target}")
        return Operation(service, "GetHostedZone")
    if request.method != "POST":
        raise NotAnswered(f"{service} is asked with POST, not {request.method}")
    if "x-amz-target" in request.headers:
        prefix, _dot, name = request.headers["x-amz-target"].partition(".")
        _require_of(JSON_TARGETS.get(prefix), service, at_root=request.target == "/")
        return Operation(service, name)
    if found := CBOR_PATH.fullmatch(request.target):
        _require_of(JSON_TARGETS.get(found["target"]), service, at_root=True)
        return Operation(service, found["operation"])
    _require_of(service if service in QUERY_SERVICES else None, service, at_root=request.target == "/")
    return Operation(service, _action(request))


def _require_of(named: str | None, signed_for: str, *, at_root: bool) -> None:
    if named != signed_for or not at_root:
        raise NotAnswered(f"what is signed for {signed_for} is no request to it")


def _action(request: Request) -> str:
    if request.headers.get("content-type", "").partition(";")[0] != FORM or "content-encoding" in request.headers:
        raise NotAnswered(f"parameters come as {FORM}, without Content-Encoding")
    actions = parse_qs(request.body.decode("utf-8", errors="replace"), keep_blank_values=True).get("Action", [])
    if len(actions) != 1:
        raise NotAnswered("a request has one Action")
    return actions[0]


def _s3_operation(request: Request) -> str:
    """Return a name for what is asked of a bucket or an object; S3 has no names in its requests."""
    found = S3_TARGET.fullmatch(request.target)
    parts = {item.partition("=")[0] for item in ((found and found["query"]) or "").split("&")}
    if found is None or request.method not in S3_METHODS or not parts <= S3_PARTS:
        raise NotAnswered(f"s3 answers for buckets and objects, not to {request.method} {request.target}")
    return {"PUT": "PutObject", "DELETE": "DeleteObject"}.get(request.method, "GetObject")

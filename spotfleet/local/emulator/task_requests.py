"""Which requests of a task's container its role lets through (rule N3).

Few operations: those that workers and web services use, each with the action and the resource that IAM knows it by.
What is not here is refused, whatever the role's policies say.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ministack.core.responses import request_scope
from ministack.services import iam, s3, secretsmanager, sqs

from spotfleet.behaviour.iam_policies import Policies, Question, is_allowed
from spotfleet.local.api.signature import Request, Scope
from spotfleet.local.emulator.operations import Operation
from spotfleet.local.emulator.records import Record

# What a request asks for: actions, each with the ARN of what it is done to, in an account and a region.
Asked = list[tuple[str, str]]

SQS_BATCHES = {
    **{"SendMessageBatch": "SendMessage", "DeleteMessageBatch": "DeleteMessage"},
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
SQS = {
    *("ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage", "SendMessage", *SQS_BATCHES),
    *("GetQueueUrl", "PurgeQueue"),
}
QUEUE_PATH = re.compile(r"/(?P<account>\d{12})/(?P<name>[\w-]{1,80}(?:\.fifo)?)", re.ASCII)
S3_TARGET = re.compile(r"/(?P<bucket>[a-z0-9][a-z0-9.-]{2,62})(?:/(?P<key>[^?]*))?(?:\?(?P<query>.*))?")
S3_OF_OBJECTS = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}
LISTING = {"list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type"}
# Of S3, what changes who may do what or takes from elsewhere needs further actions.
S3_REFUSED = re.compile(r"x-amz-(copy-source|acl|grant|tagging|object-lock|server-side).*")
HARMLESS_QUERY = "x-id"
RESERVED_NAMESPACES = "AWS/"


class Denied(Exception):  # noqa: N818  # it is what is told to the client
    """A request that the role's policies do not allow, or that is not answered to tasks; its text says which."""


def require_allowed(request: Request, operation: Operation, signed_for: Scope, account: str, role_arn: str) -> None:
    """Raise Denied unless the policies of a role let it make a request."""
    asked = _asked(request, operation, signed_for.region, account)
    context = {"aws:SecureTransport": "true", "aws:RequestedRegion": signed_for.region, "aws:PrincipalArn": role_arn}
    context |= {"aws:PrincipalAccount": account, "aws:ResourceAccount": account}
    with request_scope(account, signed_for.region):
        for action, resource in asked:
            question = Question(role_arn, action, resource, context)
            if not is_allowed(question, _policies(role_arn, resource)):
                session = role_arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/")
                raise Denied(
                    f"User: {session} is not authorized to perform: {action} on resource: {resource} because no "
                    "identity-based policy allows the action, or a policy denies it"
                )


def _asked(request: Request, operation: Operation, region: str, account: str) -> Asked:
    """Return what a request asks for. Raises Denied for what is not answered to tasks."""
    find = _FINDERS.get(operation.service)
    if find is None:
        raise Denied(f"The embedded AWS does not answer {operation.service} to tasks")
    return find(request, operation, f"{region}:{account}")


def _of_sqs(request: Request, operation: Operation, where: str) -> Asked:
    if operation.name not in SQS:
        raise _not_answered(operation)
    body, account = _json(request), where.rpartition(":")[2]
    if operation.name == "GetQueueUrl":
        path = f"/{body.get('QueueOwnerAWSAccountId', account)}/{_text(body, 'QueueName')}"
    else:
        path = urlsplit(_text(body, "QueueUrl")).path
    found = QUEUE_PATH.fullmatch(path)
    if found is None or found["account"] != account:
        raise Denied("The embedded AWS has no queue there")
    return [(f"sqs:{SQS_BATCHES.get(operation.name, operation.name)}", f"arn:aws:sqs:{where}:{found['name']}")]


def _of_ssm(request: Request, operation: Operation, where: str) -> Asked:
    if operation.name not in {"GetParameter", "GetParameters"}:
        raise _not_answered(operation)
    body = _json(request)
    names = body.get("Names") if operation.name == "GetParameters" else [_text(body, "Name")]
    if not isinstance(names, list) or not names:
        raise Denied("Names is missing")
    if not all(re.fullmatch(r"[\w./-]+", str(name)) for name in names):
        raise Denied("Parameters are named as they are, without version, label or ARN")
    arns = [f"arn:aws:ssm:{where}:parameter/{str(name).removeprefix('/')}" for name in names]
    return [(f"ssm:{operation.name}", arn) for arn in arns]


def _of_secrets(request: Request, operation: Operation, where: str) -> Asked:
    if operation.name not in {"DescribeSecret", "GetSecretValue"}:
        raise _not_answered(operation)
    region, account = where.split(":")
    with request_scope(account, region):
        _name, secret = secretsmanager._resolve(_text(_json(request), "SecretId"))
        if secret is None:
            raise Denied(f"There is no secret that {operation.name} names")
        return [(f"secretsmanager:{operation.name}", secret["ARN"])]


def _of_s3(request: Request, operation: Operation, _where: str) -> Asked:
    found = S3_TARGET.fullmatch(request.target)
    query = {item.partition("=")[0] for item in ((found and found["query"]) or "").split("&") if item}
    if found is None or ".." in request.target or any(S3_REFUSED.fullmatch(name) for name in request.headers):
        raise _not_answered(operation)
    bucket, key = f"arn:aws:s3:::{found['bucket']}", unquote(found["key"] or "")
    if key and query <= {HARMLESS_QUERY} and request.method in S3_OF_OBJECTS:
        return [(S3_OF_OBJECTS[request.method], f"{bucket}/{key}")]
    if not key and request.method in {"GET", "HEAD"} and query <= LISTING:
        return [("s3:ListBucket", bucket)]
    raise _not_answered(operation)


def _of_metrics(request: Request, operation: Operation, _where: str) -> Asked:
    if operation.name != "PutMetricData":
        raise _not_answered(operation)
    namespace = _namespace(request)
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
    if namespace.startswith(RESERVED_NAMESPACES):
        raise Denied(f"The value {namespace} for parameter Namespace is invalid: {RESERVED_NAMESPACES} is AWS's own")
    return [("cloudwatch:PutMetricData", "*")]


def _namespace(request: Request) -> str:
    """Return the namespace of published metrics, read where MiniStack reads it."""
    kind = request.headers.get("content-type", "")
    if "cbor" in kind or "cbor" in request.headers.get("smithy-protocol", ""):
        raise Denied("Tasks publish metrics as JSON or as a form, not as CBOR")
    if "json" in kind or "x-amz-target" in request.headers:
        return _text(_json(request), "Namespace")
    found = parse_qs(request.body.decode("utf-8", errors="replace")).get("Namespace", [])
    if len(found) != 1:
        raise Denied("Metrics have one Namespace")
    return found[0]


_FINDERS: dict[str, Callable[[Request, Operation, str], Asked]] = {
    **{"sqs": _of_sqs, "ssm": _of_ssm, "secretsmanager": _of_secrets, "s3": _of_s3, "monitoring": _of_metrics},
}


def _not_answered(operation: Operation) -> Denied:
    return Denied(f"The embedded AWS does not answer {operation.service}:{operation.name} to tasks in this form")


def _json(request: Request) -> Record:
    try:
        # Clients compress large bodies.
        is_packed = "gzip" in request.headers.get("content-encoding", "").lower()
        body = json.loads(gzip.decompress(request.body) if is_packed else request.body)
    except (ValueError, EOFError, OSError, zlib.error):
        body = None
    if not isinstance(body, dict):
        raise Denied("The body is no JSON object")
    return body


def _text(body: Record, name: str) -> str:
    value: Any = body.get(name)
    if not isinstance(value, str) or not value:
        raise Denied(f"{name} is missing")
    return value


def _policies(role_arn: str, resource: str) -> Policies:
    role = iam._roles.get(role_arn.rpartition("/")[2])
    if role is None or role["Arn"] != role_arn:
        return Policies([])
    attached = [_document_of(arn) for arn in role.get("AttachedPolicies", [])]
    inline = [_parsed(document) for document in role.get("InlinePolicies", {}).values()]
    boundary_arn = role.get("PermissionsBoundary")
    # A boundary that nobody knows lets nothing through.
    boundary = (_document_of(boundary_arn) or {}) if boundary_arn else None
    return Policies([item for item in [*attached, *inline] if item], boundary, _policy_of(resource))


def _document_of(policy_arn: str) -> Record | None:
    """Return the document of a managed policy; None of one that is not known, which then grants nothing."""
    record = iam._lookup_policy(policy_arn)
    return _parsed(record["Versions"][record["DefaultVersionId"]]["Document"]) if record else None


def _policy_of(resource: str) -> Record | None:
    """Return the policy that a queue or a bucket has of its own."""
    service, name = resource.split(":")[2:3], resource.rpartition(":")[2]
    if service == ["sqs"]:
        queue = sqs._queue_by_arn(resource)
        return _parsed(queue["attributes"]["Policy"]) if queue and queue["attributes"].get("Policy") else None
    if service == ["s3"]:
        policy = s3._bucket_policies.get(name.partition("/")[0])
        return _parsed(policy) if policy else None
    return None


def _parsed(document: Any) -> Record:  # noqa: ANN401  # as text, as the API takes it, or as a template has it
    if isinstance(document, bytes | str):
        found: Record = json.loads(document)
        return found
    return dict(document)

"""A container asks AWS with the credentials of its task's role: what is let through, and what is not (rule N3)."""

import asyncio
import gzip
import importlib
import json
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from spotfleet.local.api import signature
from spotfleet.local.api.signature import Request, Scope
from spotfleet.local.daemon.gate import Message, Receive, Refusal, Send

ACCOUNT, REGION = "000000000000", "eu-west-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/worker"
TASK = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/cluster/1234"
DEFINITION = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/worker:1"
URL = f"http://169.254.170.2/{ACCOUNT}/jobs"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:jobs"
ANYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
RECEIVE = ("sqs", "AmazonSQS.ReceiveMessage", {"QueueUrl": URL})


@pytest.fixture(scope="module")
def parts(emulator: ModuleType) -> SimpleNamespace:
    """The modules that know MiniStack, which may be imported once its settings are set."""
    names = {
        "credentials": "emulator.task_credentials",
        "requests": "emulator.task_requests",
        "door": "daemon.task_door",
    }
    loaded = {name: importlib.import_module(f"spotfleet.local.{module}") for name, module in names.items()}
    return SimpleNamespace(emulator=emulator, **loaded)


@pytest.fixture
def worker(parts: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """A task with a role that may do all with its queue, and the credentials that its container is given."""
    ecs, iam = (getattr(parts.credentials, "ecs"), getattr(parts.requests, "iam"))  # noqa: B009  # not ours to import
    task = {"taskArn": TASK, "taskDefinitionArn": DEFINITION, "lastStatus": "RUNNING"}
    allowed = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": [QUEUE, "arn:aws:s3:::files/*"]}]}
    role = {"Arn": ROLE, "AttachedPolicies": [], "InlinePolicies": {"jobs": json.dumps(allowed)}}
    with parts.requests.request_scope(ACCOUNT, REGION):
        ecs._tasks[TASK], ecs._task_defs["worker:1"] = task, {"taskRoleArn": ROLE}
        iam._roles["worker"] = role
        path = parts.credentials.path_for(task)
        yield SimpleNamespace(task=task, role=role, path=path, given=parts.credentials.answer(path))
        del ecs._tasks[TASK], ecs._task_defs["worker:1"], iam._roles["worker"]


def signed(given: dict[str, Any], service: str, target: str, body: Any, **changes: str) -> Request:  # noqa: ANN401  # any JSON
    """Return a request as a container's AWS client makes it."""
    host = changes.get("host", "169.254.170.2")
    headers = {"host": host, "content-type": "application/x-amz-json-1.0", "x-amz-target": target}
    headers["x-amz-security-token"] = changes.get("token", given["Token"])
    request = Request("POST", "/", headers, json.dumps(body).encode())
    scope = Scope(changes.get("access_key", given["AccessKeyId"]), REGION, service)
    more = signature.sign(request, scope, changes.get("secret", given["SecretAccessKey"]))
    return Request(request.method, request.target, headers | more, request.body)


def status(parts: SimpleNamespace, request: Request) -> int:
    """Return how a request is answered: 0 when it goes through."""
    try:
        parts.door.require_allowed(request)
    except Refusal as refusal:
        return refusal.status
    return 0


def test_credentials_come_as_the_agent_gives_them(worker: SimpleNamespace) -> None:
    assert worker.path.startswith("/v2/credentials/")
    assert worker.given.keys() == {"RoleArn", "AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    assert worker.given["RoleArn"] == ROLE
    assert worker.given["AccessKeyId"].startswith("ASIA")


def test_they_stay_the_same_until_they_are_old_and_every_container_has_others(
    parts: SimpleNamespace, worker: SimpleNamespace
) -> None:
    assert parts.credentials.answer(worker.path) == worker.given
    other = parts.credentials.path_for(worker.task)
    assert parts.credentials.answer(other)["SecretAccessKey"] != worker.given["SecretAccessKey"]
    assert parts.credentials.answer("/v2/credentials/") is None
    assert parts.credentials.answer("/v2/credentials/0") is None


def test_a_task_without_a_role_gets_none(parts: SimpleNamespace, worker: SimpleNamespace) -> None:
    parts.credentials.ecs._task_defs["worker:1"] = {}
    assert parts.credentials.path_for(worker.task) is None


def test_what_the_role_allows_goes_through(parts: SimpleNamespace, worker: SimpleNamespace) -> None:
    assert status(parts, signed(worker.given, *RECEIVE)) == 0


@pytest.mark.parametrize(
    ("service", "target", "body"),
    [
        ("sqs", "AmazonSQS.ReceiveMessage", {"QueueUrl": URL.replace("jobs", "others")}),
        ("sqs", "AmazonSQS.ReceiveMessage", {"QueueUrl": URL.replace(ACCOUNT, "123456789012")}),
        ("sqs", "AmazonSQS.ReceiveMessage", {"QueueUrl": f"{URL}/../others"}),
        ("sqs", "AmazonSQS.ReceiveMessage", {"QueueUrl": [URL]}),
        ("sqs", "AmazonSQS.ReceiveMessage", [URL]),
        ("sqs", "AmazonSQS.CreateQueue", {"QueueName": "jobs"}),
        ("sqs", "AmazonSQS.ListQueues", {}),
        ("ssm", "AmazonSSM.GetParameter", {"Name": "/shop/key"}),
        ("ssm", "AmazonSSM.GetParametersByPath", {"Path": "/"}),
        ("ssm", "AmazonSSM.GetParameters", {"Names": None}),
        ("ssm", "AmazonSSM.GetParameters", {"Names": []}),
        ("ecs", "AmazonEC2ContainerServiceV20141113.RunTask", {}),
        ("secretsmanager", "secretsmanager.GetSecretValue", {"SecretId": "unknown"}),
        ("lambda", "AWSLambda.Invoke", {}),
    ],
)
def test_nothing_else_does(
    parts: SimpleNamespace,
    worker: SimpleNamespace,
    service: str,
    target: str,
    body: Any,  # noqa: ANN401  # any JSON
) -> None:
    assert status(parts, signed(worker.given, service, target, body)) == 403


def published(given: dict[str, Any], namespace: object, form: str) -> Request:
    """Return a request for a metric as clients make it by one of the protocols."""
    host = {"host": "169.254.170.2", "x-amz-security-token": given["Token"]}
    content: dict[str, Any] = {"Namespace": namespace, "MetricData": [{"MetricName": "Jobs", "Value": 1}]}
    kinds = {
        "cbor": ("/service/GraniteServiceVersion20100801/operation/PutMetricData", "cbor", b"\xa0"),
        "json": ("/", "x-amz-json-1.0", json.dumps(content).encode()),
        "gzip": ("/", "x-amz-json-1.0", gzip.compress(json.dumps(content).encode())),
        "form": ("/", "x-www-form-urlencoded", f"Action=PutMetricData&Namespace={namespace}".encode()),
    }
    target, kind, body = kinds[form]
    headers = host | {"content-type": f"application/{kind}"}
    if form == "gzip":
        headers["content-encoding"] = "gzip"
    if form in ("json", "gzip"):
        headers["x-amz-target"] = "GraniteServiceVersion20100801.PutMetricData"
    request = Request("POST", target, headers, body)
    more = signature.sign(request, Scope(given["AccessKeyId"], REGION, "monitoring"), given["SecretAccessKey"])
    return Request("POST", target, headers | more, body)


@pytest.mark.parametrize("form", ["json", "gzip", "form"])
@pytest.mark.parametrize(
    ("namespace", "expected"), [("Shop", 0), ("AWS/ECS", 403), ("AWS/", 403), ("AWSShop", 0), ("", 403)]
)
def test_a_task_publishes_metrics_of_its_own_and_none_of_awss(
    parts: SimpleNamespace, worker: SimpleNamespace, namespace: str, expected: int, form: str
) -> None:
    worker.role["InlinePolicies"]["metrics"] = json.dumps({"Statement": [ANYTHING]})
    assert status(parts, published(worker.given, namespace, form)) == expected


@pytest.mark.parametrize(("namespace", "form"), [(["AWS/ECS"], "json"), ("Shop&Namespace=AWS/", "form"), ("", "cbor")])
def test_a_namespace_that_is_not_read_is_refused(
    parts: SimpleNamespace, worker: SimpleNamespace, namespace: object, form: str
) -> None:
    worker.role["InlinePolicies"]["metrics"] = json.dumps({"Statement": [ANYTHING]})
    assert status(parts, published(worker.given, namespace, form)) == 403


def test_metrics_are_noted_when_they_are_there(parts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def behind(_scope: Message, _receive: Receive, send: Send) -> None:
        seen.append("kept")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Message) -> None:
        seen.append(message["type"])

    publishes = parts.requests.Operation("monitoring", "PutMetricData")
    monkeypatch.setattr(parts.door.emulator, "application", lambda _key: behind)
    monkeypatch.setattr(parts.door, "require_allowed", lambda _request: (publishes, ACCOUNT))
    monkeypatch.setattr(parts.door.gate, "require_form", lambda _request: None)
    monkeypatch.setattr(parts.door.changes, "note_metrics", lambda: seen.append("noted"))
    scope = {"type": "http", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b""}
    headers = [(b"host", b"169.254.170.2"), (b"content-length", b"2")]
    asyncio.run(parts.door.make("key")(scope | {"headers": headers}, receive, send))
    assert seen == ["kept", "noted", "http.response.start", "http.response.body"]


@pytest.mark.parametrize(
    "changes", [{"secret": "another"}, {"token": "another"}, {"access_key": "local"}, {"host": "a.s3.amazonaws.com"}]
)
def test_only_whole_credentials_count(parts: SimpleNamespace, worker: SimpleNamespace, changes: dict[str, str]) -> None:
    assert status(parts, signed(worker.given, *RECEIVE, **changes)) == 403


def test_no_other_task_is_looked_at_for_them(
    parts: SimpleNamespace, worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked for where all requests wait meanwhile."""
    monkeypatch.delattr(type(parts.credentials.ecs._tasks), "all_values")
    assert parts.credentials.answer(parts.credentials.path_for(worker.task)) is not None
    assert status(parts, signed(worker.given, *RECEIVE)) == 0


def test_they_end_with_their_task(parts: SimpleNamespace, worker: SimpleNamespace) -> None:
    worker.task["lastStatus"] = "STOPPED"
    assert status(parts, signed(worker.given, *RECEIVE)) == 403
    assert parts.credentials.answer(worker.path) is None


def test_a_boundary_that_nobody_knows_lets_nothing_through(parts: SimpleNamespace, worker: SimpleNamespace) -> None:
    worker.role["PermissionsBoundary"] = f"arn:aws:iam::{ACCOUNT}:policy/unknown"
    assert status(parts, signed(worker.given, *RECEIVE)) == 403


@pytest.mark.parametrize(
    ("method", "target", "more", "expected"),
    [
        ("GET", "/files/a%20b?x-id=GetObject", {}, 0),
        ("PUT", "/files/folder/a", {}, 0),
        ("GET", "/others/a", {}, 403),
        ("GET", "/files?list-type=2", {}, 403),
        ("GET", "/files/a?acl", {}, 403),
        ("PUT", "/files/a", {"x-amz-copy-source": "/others/a"}, 403),
        ("PUT", "/files/a", {"x-amz-acl": "public-read"}, 403),
        ("GET", "/files/../others/a", {}, 403),
        ("PUT", "/files", {}, 403),
    ],
)
def test_objects_are_reached_by_their_bucket_and_key(
    parts: SimpleNamespace, worker: SimpleNamespace, method: str, target: str, more: dict[str, str], expected: int
) -> None:
    headers = {"host": "169.254.170.2", "x-amz-security-token": worker.given["Token"], **more}
    request = Request(method, target, headers, b"")
    scope = Scope(worker.given["AccessKeyId"], REGION, "s3")
    headers |= signature.sign(request, scope, worker.given["SecretAccessKey"])
    assert status(parts, Request(method, target, headers, b"")) == expected

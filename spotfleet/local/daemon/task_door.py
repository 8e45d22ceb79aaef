"""The embedded AWS as tasks' containers find it, behind the routers of their networks, at a socket of its own.

Who comes here has the credentials of a task's role and nothing else: the key of this start opens nothing, and what a
role may do its policies say. Without credentials there are only these themselves, and a container's metadata, each at a
path that nobody can guess.
"""

import json
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from spotfleet.local.api import signature
from spotfleet.local.api.signature import Request, Unsigned
from spotfleet.local.backchannel import changes
from spotfleet.local.daemon import gate
from spotfleet.local.daemon.gate import Message, Receive, Refusal, Send
from spotfleet.local.emulator import application as emulator
from spotfleet.local.emulator import operations, task_credentials, task_networks, task_requests
from spotfleet.local.emulator.operations import NotAnswered, Operation
from spotfleet.local.emulator.task_credentials import Session
from spotfleet.local.emulator.task_requests import Denied
from spotfleet.local.host import paths, task_router

TOKEN_HEADER = "x-amz-security-token"  # noqa: S105  # a header's name
METADATA_PATH = re.compile(r"/v4/[\w-]{43}(/task)?/?", re.ASCII)
# Of AWS's clients; MiniStack would listen to others.
PASSED_ON = re.compile(rb"authorization|host|accept|content-[a-z-]+|x-amz-[a-z0-9-]+")
JSON = b"application/json"
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def make(key: str) -> Application:
    """Return the application that answers tasks; `key` is that of this start, for what stands behind."""
    inner = emulator.application(key)

    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            try:
                await route(scope, receive, send)
            except Refusal as refusal:
                kind, body = gate.answer(refusal, scope["headers"])
                await _send(send, refusal.status, kind, body)

    async def route(scope: Message, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.startswith(task_credentials.PATH):
            found = task_credentials.answer(path) if scope["method"] == "GET" else None
            told = found or {"code": "InvalidIdInRequest", "message": "There are no credentials at this path."}
            status = HTTPStatus.OK if found else HTTPStatus.BAD_REQUEST
            await _send(send, status, JSON, json.dumps(told).encode())
        elif METADATA_PATH.fullmatch(path) and scope["method"] == "GET":
            code, body = await task_networks.metadata(path)
            await _send(send, code, JSON, body)
        else:
            await answer_signed(scope, receive, send)

    async def answer_signed(scope: Message, receive: Receive, send: Send) -> None:
        request = _request(scope, b"")
        gate.require_form(request)
        body = await gate.read_body(receive)
        request = _request(scope, body)
        operation, account = require_allowed(request)
        headers = [
            (name, _in_account(value, account) if name == b"authorization" else value)
            for name, value in scope["headers"]
            if PASSED_ON.fullmatch(name)
        ]
        await inner(_from_here(scope, headers), gate.again(body, receive), _noting(operation, send))

    return answer


def require_allowed(request: Request) -> tuple[Operation, str]:
    """Return what a request asks for and in which account. Raises Refusal unless a task's role lets it through."""
    if request.headers.get("host", "").removesuffix(":80") != task_router.CREDENTIALS:
        # By another name MiniStack would take a request for one to another service.
        raise Refusal(
            HTTPStatus.FORBIDDEN, "AccessDeniedException", f"This is {task_router.CREDENTIALS}, and no other host."
        )
    try:
        session = _session(request)
        signed_for = signature.check(request, session.secret)
        operation = operations.require_answered(request, signed_for.service)
        account = session.task_arn.split(":")[4]
        task_requests.require_allowed(request, operation, signed_for, account, session.role_arn)
    except Unsigned as error:
        raise Refusal(HTTPStatus.FORBIDDEN, "UnrecognizedClientException", str(error)) from error
    except NotAnswered as error:
        reason = f"The embedded AWS does not answer this: {error}."
        raise Refusal(HTTPStatus.FORBIDDEN, "AccessDeniedException", reason) from error
    except Denied as error:
        raise Refusal(HTTPStatus.FORBIDDEN, "AccessDeniedException", f"{error}.") from error
    return operation, account


def _session(request: Request) -> Session:
    """Return the credentials that a request says it was signed with. Raises Unsigned when they do not count."""
    session = task_credentials.session_of(signature.scope_of(request).access_key)
    if session is None or request.headers.get(TOKEN_HEADER) != session.token:
        raise Unsigned("The security token included in the request is invalid")
    return session


def _request(scope: Message, body: bytes) -> Request:
    """Return a request as its client has signed it. Raises Refusal when it can be read in two ways."""
    found = [name.lower() for name, _value in scope["headers"]]
    if any(found.count(name) > 1 for name in {*gate.ONCE, TOKEN_HEADER.encode()}):
        raise Refusal(HTTPStatus.BAD_REQUEST, "MalformedHttpRequest", "A header that decides something is there twice.")
    query = scope["query_string"].decode("latin-1")
    target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
    return Request(scope["method"], target, gate.as_text(scope["headers"]), body)


def _in_account(authorization: bytes, account: str) -> bytes:
    """Name an account in the place of the access key, by which MiniStack chooses it."""
    return re.sub(rb"Credential=[^/]+/", f"Credential={account}/".encode(), authorization, count=1)


def _noting(operation: Operation, send: Send) -> Send:
    """Say before an answer that there are new metrics: nothing else that a task may do changes what is looked at."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and operations.publishes(operation):
            changes.note_metrics()
        await send(message)

    return sending


def _from_here(scope: Message, headers: gate.Headers) -> Message:
    """Return a request as one that came over the loopback interface: a socket has no addresses."""
    return scope | {"headers": headers, "client": ("127.0.0.1", 0), "server": ("127.0.0.1", paths.port())}


async def _live(receive: Receive, send: Send) -> None:
    """Have nothing to start and nothing to end."""
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})


async def _send(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""The ASGI application of the embedded AWS: the gate, and behind it who answers what."""

import asyncio
import functools
import json
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any

from spotfleet.local.api import embedded_aws
from spotfleet.local.api.signature import Request, Scope
from spotfleet.local.backchannel import changes, early_closes
from spotfleet.local.backchannel.scaling_activities import DEFAULT_ACCOUNT
from spotfleet.local.daemon import gate
from spotfleet.local.daemon.gate import Headers, Message, Receive, Refusal, Send
from spotfleet.local.daemon.page import files, snapshot
from spotfleet.local.daemon.supervisor import Supervisor
from spotfleet.local.emulator import application as emulator
from spotfleet.local.emulator import operations
from spotfleet.local.emulator.application_autoscaling import TARGET_PREFIX, ApplicationAutoScaling
from spotfleet.local.emulator.cloudformation import live_stacks
from spotfleet.local.emulator.operations import Operation
from spotfleet.local.host import keys, paths, rehearsal, task_networks

ACCOUNT = re.compile(r"\d{12}")
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def make(supervisor: Supervisor, key: str) -> Application:
    """Return the application that answers whoever has `key`: MiniStack, Application Auto Scaling, page and identity."""
    inner = emulator.application(key)
    scaling = ApplicationAutoScaling()
    names = gate.names_of(paths.port())

    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await inner(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers: Headers = scope["headers"]
            try:
                gate.require_local(headers, scope["path"], names)
                await route(scope, headers, receive, send)
            except Refusal as refusal:
                await _refuse(send, refusal, headers)

    async def route(scope: Message, headers: Headers, receive: Receive, send: Send) -> None:
        path = scope["path"]
        file = files.answer(path, gate.as_text(headers)) if scope["method"] == "GET" else None
        if file is not None:
            await _answer(send, *file)
        elif path == f"{embedded_aws.PAGE_PATH}.json" and gate.has_page_key(headers, key):
            await _send_json(send, 200, await asyncio.to_thread(snapshot.encoded))
        elif gate.is_registry(path):
            gate.require_registry(_target(scope), headers, key)
            await inner(scope, receive, _without_cors(send))
        else:
            gate.require_form(_request(scope, headers, b""))
            body = await gate.read_body(receive)
            await answer_signed(scope, _request(scope, headers, body), gate.again(body, receive), send)

    async def answer_signed(scope: Message, request: Request, receive: Receive, send: Send) -> None:
        if (answered := own_answer(scope["path"])) is not None:
            gate.require_signed_for(request, embedded_aws.OWN_SCOPE, key)
            await _send_proved(send, request, key, await answered())
            return
        signed_for, operation = gate.require_answered(request, key)
        if request.headers.get("x-amz-target", "").startswith(TARGET_PREFIX):
            account = _account(signed_for)
            arguments = (operation.name, account, signed_for.region, request.body)
            # In a thread, because it calls the embedded AWS back.
            code, content = await asyncio.to_thread(scaling.answer, *arguments)
            _note(operation)
            await _send_json(send, code, content)
        else:
            await inner(scope, receive, _noting(operation, _without_cors(send)))

    def status(environment: str) -> bytes:
        return snapshot.status(environment, identity(supervisor))

    async def tell_identity() -> bytes:
        return json.dumps(identity(supervisor)).encode()

    def own_answer(path: str) -> Callable[[], Awaitable[bytes]] | None:
        """Return what answers a question that is no API's; in a thread where that takes long or calls us back."""
        if path == embedded_aws.IDENTITY_PATH:
            return tell_identity
        if path == f"{embedded_aws.PAGE_PATH}.json":
            return functools.partial(asyncio.to_thread, snapshot.encoded)
        if (environment := _environment(path)) is not None:
            return functools.partial(asyncio.to_thread, status, environment)
        return None

    return answer


def identity(supervisor: Supervisor) -> dict[str, Any]:
    """Return what the embedded AWS says about itself."""
    who: dict[str, Any] = {"project": "spotfleet", "folder": str(paths.ROOT), "pid": os.getpid()}
    who["network_problem"] = task_networks.problem()
    now = {"stacks": live_stacks(), "controllers": supervisor.report(), "early_closes": early_closes.now()}
    return who | rehearsal.own().as_json() | now


def _request(scope: Message, headers: Headers, body: bytes) -> Request:
    """Return a request as its client has signed it."""
    return Request(scope["method"], _target(scope), gate.as_text(headers), body)


def _target(scope: Message) -> str:
    query = scope["query_string"].decode("latin-1")
    path: str = scope["raw_path"].decode("latin-1")
    return path + (f"?{query}" if query else "")


def _environment(path: str) -> str | None:
    """Return the environment whose status a path asks for, or None where it asks for something else."""
    return path.removeprefix(embedded_aws.STATUS_PATH) if path.startswith(embedded_aws.STATUS_PATH) else None


def _account(signed_for: Scope) -> str:
    """Return the account in which a request acts: an access key id that is an account's number chooses that one."""
    return signed_for.access_key if ACCOUNT.fullmatch(signed_for.access_key) else DEFAULT_ACCOUNT


def _without_cors(send: Send) -> Send:
    """Take away the leave that MiniStack gives to the pages of every origin."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [item for item in message["headers"] if not item[0].lower().startswith(b"access-control-")]
            message = {**message, "headers": kept}
        await send(message)

    return sending


def _noting(operation: Operation, send: Send) -> Send:
    """Say before an answer that its call may have changed something: whoever gets it may ask at once what is now."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            _note(operation)
        await send(message)

    return sending


def _note(operation: Operation) -> None:
    if operations.publishes(operation):
        changes.note_metrics()
    elif operations.may_change(operation):
        changes.note()


async def _refuse(send: Send, refusal: Refusal, headers: Headers) -> None:
    kind, body = gate.answer(refusal, headers)
    # What is not read of a body must not be taken for the next request.
    more = [(b"connection", b"close")]
    if refusal.status == gate.UNAUTHORIZED:
        more.append((b"www-authenticate", b'Basic realm="The registry of the embedded AWS"'))
    await _send(send, refusal.status, kind, body, more)


async def _send_proved(send: Send, request: Request, key: str, content: bytes) -> None:
    """Answer so that whoever asked sees that it comes from who has the key."""
    proof = keys.proof(key, request.headers.get(embedded_aws.NONCE_HEADER, ""), request.target, content)
    await _send_json(send, 200, content, [(embedded_aws.PROOF_HEADER.encode(), proof.encode())])


async def _send_json(send: Send, status: int, body: bytes, more: Headers = ()) -> None:
    await _send(send, status, b"application/x-amz-json-1.1", body, more)


async def _send(send: Send, status: int, kind: bytes, body: bytes, more: Headers = ()) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    headers += [(b"x-content-type-options", b"nosniff"), *more]
    await _answer(send, status, headers, body)


async def _answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

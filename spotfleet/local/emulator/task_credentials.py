"""Credentials of a task's role, at a path that only its containers are told.

Whoever knows the path gets them, as on AWS, where nothing else stands before them.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
"""

import base64
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from ministack.services import ecs

from spotfleet.local.emulator.records import Record

PATH = "/v2/credentials/"
# As the ECS agent has them: six hours, new ones well before their end.
LIFETIME_SECONDS = 6 * 3600.0
RENEWAL_SECONDS = LIFETIME_SECONDS / 2


@dataclass(frozen=True)
class Session:
    """Credentials that a task has got; `ends` is in seconds since 1970."""

    task_arn: str
    role_arn: str
    access_key: str
    secret: str
    token: str
    ends: float

    @property
    def counts(self) -> bool:
        """Whether requests may be signed with them still: not when their task has ended."""
        return time.time() < self.ends and _is_alive(self.task_arn)


_roles: dict[str, tuple[str, str]] = {}  # task and role, by the id in the path
_sessions: dict[str, Session] = {}  # by access key
_newest: dict[str, Session] = {}  # by the id in the path
_lock = threading.Lock()


def path_for(task: Record) -> str | None:
    """Return the path of a new container's credentials, or None for a task without a role."""
    definition = ecs._task_defs.get(ecs._resolve_td_key(task["taskDefinitionArn"])) or {}
    role = (task.get("overrides") or {}).get("taskRoleArn") or definition.get("taskRoleArn")
    if not role:
        return None
    identity = str(uuid4())
    with _lock:
        _forget_ended()
        _roles[identity] = task["taskArn"], role
    return f"{PATH}{identity}"


def answer(path: str) -> Record | None:
    """Return what a container that asks at a path is told, or None when nothing is there."""
    identity = path.removeprefix(PATH)
    with _lock:
        task_arn, role_arn = _roles.get(identity, ("", ""))
        if not _is_alive(task_arn):
            return None
        session = _newest.get(identity)
        if session is None or session.ends - time.time() < RENEWAL_SECONDS:
            session = _newest[identity] = _new(task_arn, role_arn)
            _sessions[session.access_key] = session
    return {
        "RoleArn": session.role_arn,
        "AccessKeyId": session.access_key,
        "SecretAccessKey": session.secret,
        "Token": session.token,
        "Expiration": datetime.fromtimestamp(session.ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def session_of(access_key: str) -> Session | None:
    """Return the credentials that an access key belongs to, while they count."""
    with _lock:
        session = _sessions.get(access_key)
    return session if session and session.counts else None


def _new(task_arn: str, role_arn: str) -> Session:
    access_key = "ASIA" + base64.b32encode(secrets.token_bytes(10)).decode()
    secret, token = secrets.token_urlsafe(30), secrets.token_urlsafe(96)
    return Session(task_arn, role_arn, access_key, secret, token, time.time() + LIFETIME_SECONDS)


def _is_alive(task_arn: str) -> bool:
    if not task_arn:
        return False
    region, account = task_arn.split(":")[3:5]
    task = ecs._tasks.get_scoped(account, region, task_arn)
    return task is not None and task["lastStatus"] != "STOPPED"


def _forget_ended() -> None:
    for identity in [name for name, (task_arn, _role) in _roles.items() if not _is_alive(task_arn)]:
        del _roles[identity]
        _newest.pop(identity, None)
    for access_key in [name for name, session in _sessions.items() if not session.counts]:
        del _sessions[access_key]

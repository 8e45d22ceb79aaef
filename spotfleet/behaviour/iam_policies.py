"""Whether IAM lets a role do something, by its policies, its boundary and the policy of what it is done to (rule N3).

What is not understood here, a condition or a variable for instance, grants nothing as part of an Allow and forbids as
part of a Deny: the answer is never kinder than AWS's.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spotfleet.behaviour.record import Record

# arn, partition, service, region, account and the rest.
ARN_PARTS = 6
# Of a condition, by its operator, whether a value of the request matches one of the policy.
Compare = Callable[[str, str], bool]


@dataclass(frozen=True)
class Question:
    """What a role asks to do, "sqs:SendMessage", to which ARN, and what is known of the request, by condition key."""

    role_arn: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Policies:
    """The policy documents that decide: a role's own, its boundary's (None: it has none), and the resource's."""

    of_role: list[Record]
    boundary: Record | None = None
    of_resource: Record | None = None


def is_allowed(question: Question, policies: Policies) -> bool:
    """Return whether a role may do what it asks for, in its own account.

    A resource's policy can take away here, and gives nothing: on AWS it may let a role of the account in by itself.
    """
    resource = [] if policies.of_resource is None else [policies.of_resource]
    boundary = [] if policies.boundary is None else [policies.boundary]
    if any(_denies(document, question) for document in [*policies.of_role, *boundary, *resource]):
        return False
    if boundary and not _allows(boundary[0], question):
        return False
    return any(_allows(document, question) for document in policies.of_role)


def _allows(document: Record, question: Question) -> bool:
    return any(_fits(item, question) is True for item in _statements(document) if item.get("Effect") == "Allow")


def _denies(document: Record, question: Question) -> bool:
    return any(_fits(item, question) is not False for item in _statements(document) if item.get("Effect") != "Allow")


def _statements(document: Record) -> list[Record]:
    found = document.get("Statement", [])
    return [found] if isinstance(found, dict) else found


def _fits(statement: Record, question: Question) -> bool | None:
    """Return whether a statement is about a question; None where that is not known."""
    answers = [
        _element(statement, "Action", lambda pattern: _action_fits(pattern, question.action)),
        _element(statement, "Resource", lambda pattern: _resource_fits(pattern, question.resource)),
        _principal_fits(statement, question),
        *_conditions(statement.get("Condition") or {}, question.context),
    ]
    return _all(answers)


def _all(answers: Iterable[bool | None]) -> bool | None:
    known = list(answers)
    return False if False in known else None if None in known else True


def _any(answers: Iterable[bool | None]) -> bool | None:
    known = list(answers)
    return True if True in known else None if None in known else False


def _element(statement: Record, name: str, fits: Callable[[str], bool | None]) -> bool | None:
    """Answer by an element of a statement, or by what it has in its place: NotAction, NotResource."""
    if name in statement:
        return _any(fits(pattern) for pattern in _list(statement[name]))
    if f"Not{name}" in statement:
        found = _any(fits(pattern) for pattern in _list(statement[f"Not{name}"]))
        return None if found is None else not found
    return None


def _action_fits(pattern: str, action: str) -> bool:
    return _like(action.lower(), pattern.lower())


def _resource_fits(pattern: str, resource: str) -> bool | None:
    """Compare part by part: a wildcard does not reach over the colons of an ARN's first parts."""
    if pattern == "*":
        return True
    wanted, there = pattern.split(":", ARN_PARTS - 1), resource.split(":", ARN_PARTS - 1)
    if "${" in pattern or len(wanted) < ARN_PARTS:
        return None
    return len(there) == ARN_PARTS and all(map(_like, there, wanted))


def _principal_fits(statement: Record, question: Question) -> bool | None:
    """Return whether a statement of a resource's policy is about the role; that of a role's own names nobody."""
    if "Principal" not in statement:
        return None if "NotPrincipal" in statement else True
    principal = statement["Principal"]
    named = principal.get("AWS", []) if isinstance(principal, dict) else principal
    account = question.role_arn.split(":")[4]
    ours = {"*", question.role_arn, account, f"{':'.join(question.role_arn.split(':')[:5])}:root"}
    if ours & set(_list(named)):
        return True
    # A role's unique id, or a session of it.
    return None if _list(named) else False


def _conditions(conditions: Record, context: Mapping[str, str]) -> list[bool | None]:
    known = {key.lower(): value for key, value in context.items()}
    return [
        _condition(operator, [str(value) for value in _list(values)], known.get(key.lower()))
        for operator, keys in conditions.items()
        for key, values in keys.items()
    ]


def _condition(operator: str, values: list[str], actual: str | None) -> bool | None:
    compare, negated = _OPERATORS.get(operator.removesuffix("IfExists"), (None, False))
    if compare is None or actual is None or any("${" in value for value in values):
        return None
    return any(compare(actual, value) for value in values) is not negated


def _like(text: str, pattern: str) -> bool:
    parts = [".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern)]
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _equal(text: str, wanted: str) -> bool:
    return text == wanted


def _equal_in_any_case(text: str, wanted: str) -> bool:
    return text.lower() == wanted.lower()


# What a policy's condition compares by, and whether it must not be so.
_OPERATORS: dict[str, tuple[Compare | None, bool]] = {
    "StringEquals": (_equal, False),
    "StringNotEquals": (_equal, True),
    "StringEqualsIgnoreCase": (_equal_in_any_case, False),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    "ArnEquals": (_like, False),
    "ArnLike": (_like, False),
    "ArnNotEquals": (_like, True),
    "ArnNotLike": (_like, True),
    "Bool": (_equal_in_any_case, False),
}


def _list(value: Any) -> list[str]:  # noqa: ANN401  # a text or a list, as JSON has it
    return [str(value)] if isinstance(value, str | bool) else list(value)

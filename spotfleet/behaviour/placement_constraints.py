"""Which machines the expression of a memberOf constraint lets in: decisions only.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-query-language.html (rule E19)
"""

import re
from collections.abc import Mapping

TOKEN = re.compile(r"\s*(&&|\|\||==|!=|=~|!~|>=|<=|[()\[\],!<>]|[^\s()\[\],!=<>&|]+)")

# What an operator denies; of "!" and "not" the next word says it.
NEGATED = {"!": "", "not": "", "!=": "==", "not_equals": "==", "!~": "=~", "not_matches": "=~", "not_in": "in"}


class UnknownExpressionError(ValueError):
    """An expression that is none of the cluster query language, or uses what is not known here."""


def is_member(expression: str, attributes: Mapping[str, str]) -> bool:
    """Return whether a machine with these attributes matches. Comparisons of attributes are known, joined at will.

    Raises UnknownExpressionError for anything else, such as a comparison of the agent's version.
    """
    tokens = TOKEN.findall(expression)
    reader = _Reader(tokens, attributes, expression)
    found = reader.either()
    if reader.rest:
        raise UnknownExpressionError(
            f"The constraint {expression!r} goes on after it could end, at {reader.rest[0]!r}."
        )
    return found


class _Reader:
    """Reads an expression from left to right; `rest` are the tokens that are left."""

    def __init__(self, tokens: list[str], attributes: Mapping[str, str], expression: str) -> None:
        self.rest = tokens
        self._attributes = attributes
        self._expression = expression

    def _take(self) -> str:
        if not self.rest:
            raise UnknownExpressionError(f"The constraint {self._expression!r} ends too early.")
        return self.rest.pop(0)

    def _next_is(self, *tokens: str) -> bool:
        if self.rest and self.rest[0] in tokens:
            del self.rest[0]
            return True
        return False

    def either(self) -> bool:
        found = self._both()
        while self._next_is("or", "||"):
            found = self._both() or found
        return found

    def _both(self) -> bool:
        found = self._one()
        while self._next_is("and", "&&"):
            found = self._one() and found
        return found

    def _one(self) -> bool:
        if self._next_is("not", "!"):
            return not self._one()
        if self._next_is("("):
            found = self.either()
            if not self._next_is(")"):
                raise UnknownExpressionError(f"The constraint {self._expression!r} lacks a closing parenthesis.")
            return found
        return self._comparison()

    def _comparison(self) -> bool:
        subject = self._take()
        if not subject.startswith("attribute:"):
            raise UnknownExpressionError(f"The constraint {self._expression!r} compares {subject!r}, no attribute.")
        value = self._attributes.get(subject.removeprefix("attribute:"))
        operator = self._take()
        negated = operator in NEGATED
        return self._holds(value, NEGATED[operator] or self._take() if negated else operator) != negated

    def _holds(self, value: str | None, operator: str) -> bool:
        match operator:
            case "exists":
                return value is not None
            case "==" | "equals":
                return value == self._take()
            case "=~" | "matches":
                pattern = self._take()
                return value is not None and re.fullmatch(pattern, value) is not None
            case "in":
                return value in self._list()
        raise UnknownExpressionError(f"The constraint {self._expression!r} has the unknown operator {operator!r}.")

    def _list(self) -> list[str]:
        if not self._next_is("["):
            raise UnknownExpressionError(f"The constraint {self._expression!r} lacks a list after its operator.")
        found = []
        while not self._next_is("]"):
            found.append(self._take())
            self._next_is(",")
        return found

"""Templates of Jinja compiled once in a run of the tests: Sceptre makes an environment for each file that it reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import pytest
from jinja2 import Environment


@contextmanager
def compiled_once() -> Iterator[None]:
    """Let every environment of Jinja keep to what another one with the same options has compiled."""
    known: dict[object, CodeType] = {}
    compile_anew: Any = Environment.compile

    def compile_source(self: Environment, source: str, name: str | None = None, *more: Any, **named: Any) -> Any:  # noqa: ANN401  # as Jinja's
        options = (self.trim_blocks, self.lstrip_blocks, self.autoescape, self.undefined, *sorted(self.extensions))
        key = (source, name, *options)
        if key not in known:
            known[key] = compile_anew(self, source, name, *more, **named)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "compile", compile_source)
        yield

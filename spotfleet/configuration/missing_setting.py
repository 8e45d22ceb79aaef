"""Jinja's answer to a setting that config.yaml lacks: config/config.yaml puts it in place for the files in config/."""

from typing import Any

from jinja2 import Environment, StrictUndefined
from jinja2.exceptions import TemplateRuntimeError, UndefinedError
from jinja2.ext import Extension
from jinja2.utils import missing

from spotfleet.settings.environment import Settings


class MissingSetting(StrictUndefined):
    """Says what the missing setting is, and where it belongs."""

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,  # noqa: ANN401  # as Jinja has it
        name: str | None = None,
        exc: type[TemplateRuntimeError] = UndefinedError,
    ) -> None:
        if hint is None and obj is missing:
            field = Settings.model_fields.get(name or "")
            meaning = f" ({field.description})" if field else ""
            hint = f"{name} is missing: add it to config.yaml in the same folder{meaning}"
        super().__init__(hint, obj, name, exc)


class NameMissingSetting(Extension):
    """Makes MissingSetting what an environment of Jinja uses; Sceptre takes extensions by name, classes it cannot."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.undefined = MissingSetting

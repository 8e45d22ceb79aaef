"""Says in one line where a file in config/ is not YAML: config/config.yaml adds it to Jinja.

Sceptre would show the text around the place, which may be a password, below a traceback.
"""

from pathlib import Path

import yaml
from jinja2 import Environment, Template
from jinja2.ext import Extension

from spotfleet.configuration.wiring import included

# What an earlier setuptools has left is read first, and knows yesterday's hooks only.
INSTALL = (
    "rm -rf spotfleet.egg-info && pip install -r requirements.txt && pip install --no-deps --no-build-isolation -e ."
)


class CheckedTemplate(Template):
    """A file that must be YAML once it is rendered, if its name says so."""

    def render(self, *args: object, **kwargs: object) -> str:
        """Return the text. Raises ValueError, which Sceptre reports with the file's name, when it is not YAML."""
        text = super().render(*args, **kwargs)
        if (self.name or "").endswith(".yaml"):
            _require_yaml(text, Path(self.filename or ""))
        return text


class ShortYamlErrors(Extension):
    """Makes every template of an environment of Jinja a CheckedTemplate."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.template_class = CheckedTemplate


def _require_yaml(text: str, file: Path) -> None:
    try:
        # The loader that Sceptre uses, which knows its tags.
        yaml.safe_load(text)
    except yaml.constructor.ConstructorError as error:
        where = _line(error.problem_mark, file) or "its line 1"
        raise ValueError(f"is not YAML that Sceptre knows: see {where}; a hook that is new needs {INSTALL}") from None
    except yaml.YAMLError as error:
        where = _line(getattr(error, "problem_mark", None), file)
        raise ValueError(f"is not YAML{where and f': see {where}'}") from None


def _line(mark: yaml.Mark | None, file: Path) -> str:
    """Say which line a mark is in: of the file, or of what it becomes with what it includes."""
    if mark is None:
        return ""
    wiring = included(file)
    line = mark.line + 1
    return f"line {line} of what it becomes with {' and '.join(wiring)}" if wiring else f"its line {line}"

"""Says in one line where a file in config/ is not YAML: config/config.yaml adds it to Jinja.

Sceptre would show the text around the place, which may be a password, below a traceback.
"""

import yaml
from jinja2 import Environment, Template
from jinja2.ext import Extension

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
            _require_yaml(text)
        return text


class ShortYamlErrors(Extension):
    """Makes every template of an environment of Jinja a CheckedTemplate."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.template_class = CheckedTemplate


def _require_yaml(text: str) -> None:
    try:
        # The loader that Sceptre uses, which knows its tags.
        yaml.safe_load(text)
    except yaml.constructor.ConstructorError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(
            f"is not YAML that Sceptre knows: see its line {line}; a hook that is new needs {INSTALL}"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"is not YAML{f': see its line {mark.line + 1}' if mark else ''}") from None

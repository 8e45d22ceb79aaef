"""What config/config.yaml adds to Jinja for config/ and templates/: defaults, and what only Python can work out."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Undefined, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context

from spotfleet.configuration.wiring import config_folder
from spotfleet.facts.aws_names import ecr_repository_arn, is_reserved_for_capacity_providers
from spotfleet.facts.regions import endpoint_prefix
from spotfleet.settings import environment_file
from spotfleet.settings.environment import defaults
from spotfleet.settings.service import ServiceSettings, as_single


class SettingDefaults(Extension):
    """Gives each setting that an environment leaves out the default of spotfleet/settings/, and a few functions."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals |= {
            **defaults(),
            "settings_of_service": settings_of_service,
            "is_reserved_for_capacity_providers": is_reserved_for_capacity_providers,
            "ecr_repository_arn": ecr_repository_arn,
            "endpoint_prefix": endpoint_prefix,
        }


@pass_context
def settings_of_service(context: Context, name: str | Undefined) -> dict[str, Any]:
    """Return the settings of the layer service with those in the place that `services` has for this one.

    Raises ValueError, which Sceptre reports with the file's name, when a file does not say which service it is.
    """
    if isinstance(name, Undefined):
        raise ValueError('must say which service this is, in its first line, such as {% set service = "api" %}')
    shared = {field: context.resolve(field) for field in ServiceSettings.model_fields}
    services = context.resolve("services")
    own = services.get(name) if isinstance(services, dict) else None
    # What is of a wrong type is for the hook !valid_settings to name.
    settings = as_single(shared | own if isinstance(own, dict) else shared)
    variables = _variables_of_file(context.environment, settings["environment_file"])
    if variables and isinstance(settings["environment_variables"], dict):
        settings["environment_variables"] = variables | settings["environment_variables"]
    return settings


def _variables_of_file(environment: Environment, name: object) -> dict[str, str]:
    """Return the variables of a file in the project; none of one that the hook !valid_settings refuses."""
    if isinstance(name, str) and name and isinstance(environment.loader, FileSystemLoader):
        for folder in environment.loader.searchpath:
            config = config_folder(Path(folder) / "x")
            with suppress(ValueError):
                return environment_file.read(config.parent, name) if config else {}
    return {}

"""What config/config.yaml adds to Jinja for config/ and templates/: defaults, and what only Python can work out."""

from typing import Any

from jinja2 import Environment, Undefined, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context

from spotfleet.facts.aws_names import is_reserved_for_capacity_providers
from spotfleet.facts.regions import endpoint_prefix
from spotfleet.settings.environment import defaults
from spotfleet.settings.service import ServiceSettings


class SettingDefaults(Extension):
    """Gives each setting that an environment leaves out the default of spotfleet/settings/, and a few functions."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals |= {
            **defaults(),
            "settings_of_service": settings_of_service,
            "is_reserved_for_capacity_providers": is_reserved_for_capacity_providers,
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
    return shared | own if isinstance(own, dict) else shared

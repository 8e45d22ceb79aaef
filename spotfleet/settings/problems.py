"""What is wrong with the settings of an environment, if anything."""

import difflib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from spotfleet.facts import aws_names, characters, instance_types, regions
from spotfleet.settings import shown
from spotfleet.settings.contradictions import contradictions
from spotfleet.settings.environment import Settings
from spotfleet.settings.section import Section
from spotfleet.settings.service import ServiceSettings

LAYERS = {"vpc", "load-balancer", "cluster", "machines", "service", "config"}


def find_problems(config: dict[str, Any], *, has_first_service: bool = True) -> dict[str, str]:
    """Return what is wrong with the settings of an environment: by key, the value and what would be right.

    The first service has settings in every environment, but tasks only in one with its stack, service.yaml.
    Each is one line, and holds no value of a setting that may be secret.
    """
    unfit = {shown.key(place): problem for place, problem in characters.problems(config)}
    return unfit or {
        key: shown.without_addresses(problem) for key, problem in _problems(config, has_first_service).items()
    }


def _problems(config: dict[str, Any], has_first_service: bool) -> dict[str, str]:
    try:
        settings = Settings.model_validate(config)
    except ValidationError as error:
        return {shown.key(details["loc"]): _explain(details) for details in error.errors()}
    problems = dict(_problems_of_services(settings))
    if problems:
        return problems
    found = contradictions(settings, has_first_service)
    return {key: f"{shown.setting(key, _value(settings, key))}: {should}" for key, should in found}


def remarks(config: dict[str, Any]) -> Iterator[str]:
    """Yield what nobody here can know of valid settings, and AWS will tell."""
    settings = Settings.model_validate(config)
    if settings.instance_types and instance_types.missing_in(settings.region, settings.instance_types) is None:
        yield (
            f"Whether EC2 has {', '.join(settings.instance_types)} in {settings.region} is not known to "
            f"{instance_types.data_of_regions()}"
        )
    yield from regions.remarks_on_zones(settings.region, settings.availability_zones)


def _problems_of_services(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the settings that a further service has for itself."""
    shared = {name: getattr(settings, name) for name in ServiceSettings.model_fields}
    for service, own in settings.services.items():
        if not aws_names.SERVICE.fullmatch(service) or service in LAYERS:
            yield shown.key(("services", service)), "is not the name of a further service, such as api"
        try:
            ServiceSettings.model_validate(shared | own)
        except ValidationError as error:
            for details in error.errors():
                yield shown.key(("services", service, *details["loc"])), _explain(details, ServiceSettings)


def _value(settings: Settings, key: str) -> object:
    value: Any = settings
    for part in key.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def _explain(details: ErrorDetails, section: type[Section] = Settings) -> str:
    key = str(details["loc"][0])
    if details["type"] in ("extra_forbidden", "invalid_key"):
        nearest = difflib.get_close_matches(str(details["loc"][-1]), section.model_fields, n=1)
        return f"is not a setting{f'; the nearest is {nearest[0]}' if nearest else ''}"
    description = section.model_fields[key].description
    if details["type"] == "missing":
        return f"is missing; it is the {description}"
    is_so = shown.setting(key, details["input"])
    if details["type"] == "string_pattern_mismatch":
        return f"{is_so}: must be the {description}"
    if details["type"] == "bool_type":
        return f"{is_so}: must be true or false, without quotes ({description})"
    should = details["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{is_so}: {should} ({description})"

"""Variables of a file to convert: as settings, or as secrets whose values no file of this project holds."""

from collections.abc import Mapping
from pathlib import Path

from spotfleet.convert import words
from spotfleet.convert.part import ConversionError
from spotfleet.convert.service import ENVIRONMENT, Service
from spotfleet.facts import aws_names

# What an image sets for itself, or ECS and this project give.
OURS = {"PORT"}


def take(service: Service, variables: Mapping[str, object], source: str) -> None:
    """Take variables over; what looks secret becomes a secret, with the command that stores it."""
    for name, value in variables.items():
        place = f"{source}.{name}"
        if not aws_names.VARIABLE.fullmatch(name):
            service.drop(place, "is no name of a variable that ECS takes")
        elif value is None:
            service.drop(place, "has no value here: set it under environment_variables, or as a secret")
        else:
            _take(service, name, as_text(value), place)


def as_text(value: object) -> str:
    """Return the text that a container gets for a value of YAML or JSON."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _take(service: Service, name: str, value: str, place: str) -> None:
    if words.is_secret(name, value):
        parameter = words.parameter_name(service.name, name, ENVIRONMENT)
        service.settings.setdefault("secrets", {})[name] = parameter
        service.to_store.append(parameter)
        service.change(place, f"looks secret, so its value is in no file: a secret, of the SSM parameter {parameter}")
    elif name in OURS:
        service.drop(place, "is given to every container: the setting container_port")
    else:
        service.settings.setdefault("environment_variables", {})[name] = value
        service.taken.append(f"{place}: environment_variables")


def take_file(service: Service, file: Path, source: str, quoted: bool = False) -> None:
    """Take the variables of an environment file over; what the file to convert says itself comes before them."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        service.drop(source, f"{file.name} cannot be read here: copy its lines to environment_variables")
        return
    known = {*service.settings.get("environment_variables", {}), *service.settings.get("secrets", {})}
    found = {name: value for name, value in words.variables_of_file(text, quoted) if name not in known}
    service.change(source, f"written out, {len(found)} variables: a later change of {file.name} is not seen")
    take(service, found, file.name)


def take_secrets(service: Service, secrets: Mapping[str, object], source: str) -> None:
    """Take secrets over that are named already: by SSM parameter or ARN."""
    for name, value in secrets.items():
        place = f"{source}.{name}"
        if not isinstance(value, str):
            _take_special(service, value, place)
        elif aws_names.SECRET_ARN.fullmatch(value) or aws_names.is_parameter(value):
            service.settings.setdefault("secrets", {})[name] = value
            service.taken.append(f"{place}: secrets")
        else:
            service.drop(place, "is neither an SSM parameter's name or ARN nor the full ARN of a secret")


def _take_special(service: Service, value: object, place: str) -> None:
    if isinstance(value, dict) and "from_cfn" in value:
        service.drop(place, f"is the output {value['from_cfn']} of another stack: give its value's parameter by hand")
    elif isinstance(value, dict) and "secretsmanager" in value:
        service.drop(
            place, f"names the secret {value['secretsmanager']}: give its full ARN, with its random characters"
        )
    else:
        raise ConversionError(f"{place} must be text, such as a parameter's name.")

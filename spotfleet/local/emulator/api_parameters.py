"""A template's properties as an API's parameters."""

from collections.abc import Mapping

from botocore.model import ListShape, MapShape, Shape, StructureShape

from spotfleet.local.api.clients import Client, Value


def api_parameters(aws_client: Client, operation: str, properties: Mapping[str, Value]) -> dict[str, Value]:
    """Return a template's properties as parameters of an API operation ("CreateService").

    CloudFormation writes CapacityProviderStrategy and "80" where the API wants capacityProviderStrategy and 80: names
    are matched regardless of case, and values get the type of the operation's own description.
    Properties that the operation does not have are left out; inside a property they raise ValueError.
    """
    members = aws_client.meta.service_model.operation_model(operation).input_shape.members
    names = {member.lower(): member for member in members}
    return {
        names[name.lower()]: converted(value, members[names[name.lower()]])
        for name, value in properties.items()
        if name.lower() in names
    }


def converted(value: Value, shape: Shape) -> Value:
    """Return a template's value as an API takes it, as in `api_parameters`."""
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        return _converted_structure(value, shape)
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [converted(item, shape.member) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {key: converted(item, shape.value) for key, item in value.items()}
    return _converted_scalar(value, shape)


def _converted_structure(value: Mapping[str, Value], shape: StructureShape) -> dict[str, Value]:
    names = {member.lower(): member for member in shape.members}
    unknown = [name for name in value if name.lower() not in names]
    if unknown:
        raise ValueError(f"extraneous key [{unknown[0]}] is not permitted in {shape.name}")
    return {
        names[name.lower()]: converted(item, shape.members[names[name.lower()]])
        for name, item in value.items()
        if item is not None
    }


def _converted_scalar(value: Value, shape: Shape) -> Value:
    match shape.type_name:
        case "integer" | "long":
            return int(value)
        case "float" | "double":
            return float(value)
        case "boolean":
            return str(value).lower() == "true"
        case "string":
            return str(value).lower() if isinstance(value, bool) else str(value)
    return value

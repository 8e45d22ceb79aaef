"""What Elastic Load Balancing refuses: the checks of its API's parameters, as pure functions.

Types, lengths, ranges, patterns and enumerations come from the service's own description, which botocore carries. The
rest is from the API reference, https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/, and the guide,
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/. Where these say nothing about a character, text
without control characters is taken.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import botocore.session
from botocore.model import ListShape, Shape, StringShape, StructureShape

from spotfleet.local.emulator.elbv2_attributes import (
    LISTENER_ATTRIBUTES,
    LOAD_BALANCER_ATTRIBUTES,
    TARGET_GROUP_ATTRIBUTES,
    between,
)

# Parameters of an operation, in the form that boto3 takes.
Parameters = Mapping[str, Any]

# Tags reach no load balancer, and their pattern uses classes that Python's regular expressions lack.
UNCHECKED_MEMBERS = ("Tags",)
# What XML, the form of the API's answers, can hold: https://www.w3.org/TR/xml/#charsets
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
MAX_CONDITION_VALUES = 5
MAX_WILDCARDS = 6
MAX_GROUPS = 5
MAX_WEIGHT = 999

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}")
METHOD = re.compile(r"[A-Z_-]{1,40}")
PATH_PATTERN = re.compile(r"""[A-Za-z0-9_.$/~"'@:+&*?-]{1,128}""")
HOST_PATTERN = re.compile(r"[A-Za-z0-9.*?-]*\.[A-Za-z]+")
PATTERN_LENGTH = 128
PRINTABLE_PATH = re.compile(r"/[!-~]*")
NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,32}(?<!-)")
REDIRECT_HOST = re.compile(r"([A-Za-z0-9._-]|#\{host\})+")
REDIRECT_KEYWORD = re.compile(r"#\{(\w*)\}")
REDIRECT_DEFAULTS = {
    "Protocol": "#{protocol}",
    "Port": "#{port}",
    "Host": "#{host}",
    "Path": "/#{path}",
    "Query": "#{query}",
}
CONTENT_TYPES = ("text/plain", "text/css", "text/html", "application/javascript", "application/json")
HTTP_PROTOCOLS = ("HTTP", "HTTPS")
HIGHEST_PORT = 65535
INSTANCE_ID = re.compile(r"i-[0-9a-f]{8}([0-9a-f]{9})?")

# The member of a condition that holds its values, by the condition's field.
CONDITION_CONFIGS = {
    "path-pattern": "PathPatternConfig",
    "host-header": "HostHeaderConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "query-string": "QueryStringConfig",
    "source-ip": "SourceIpConfig",
}
# The only ones whose values may also stand beside the field.
SHORT_FIELDS = ("path-pattern", "host-header")
# The member of an action that says what it does, by the action's type.
ACTION_CONFIGS = {
    "forward": "ForwardConfig",
    "redirect": "RedirectConfig",
    "fixed-response": "FixedResponseConfig",
    "authenticate-oidc": "AuthenticateOidcConfig",
    "authenticate-cognito": "AuthenticateCognitoConfig",
    "jwt-validation": "JwtValidationConfig",
}
LAST_ACTIONS = ("forward", "redirect", "fixed-response")


class Invalid(ValueError):  # noqa: N818  # it is the request that is wrong
    """What ELBv2 refuses, with its error code."""

    def __init__(self, message: str, code: str = "ValidationError") -> None:
        super().__init__(message)
        self.code = code


def _require(holds: object, message: str, code: str = "ValidationError") -> None:
    if not holds:
        raise Invalid(message, code)


# What of a matcher an Application Load Balancer takes.
HEALTHY_STATUS = re.compile("[2-4][0-9]{2}")


@functools.cache
def input_shape(operation: str) -> StructureShape:
    """Return ELBv2's description of an operation's parameters; KeyError when it has none."""
    shape = botocore.session.get_session().get_service_model("elbv2").operation_model(operation).input_shape
    if shape is None:
        raise KeyError(operation)
    return shape


def check(operation: str, parameters: Parameters) -> None:
    """Raise Invalid when ELBv2 would refuse an operation for what its parameters say.

    What they name, such as a target group, is not looked up.
    """
    problems = list(_model_problems(parameters, input_shape(operation), ""))
    if problems:
        plural = "s" if len(problems) > 1 else ""
        raise Invalid(f"{len(problems)} validation error{plural} detected: {'; '.join(problems[:10])}")
    if rules := RULES.get(operation):
        rules(parameters)


# --- The service's own description


def _model_problems(value: Any, shape: Shape, path: str) -> Iterator[str]:  # noqa: ANN401  # whatever was sent
    match shape:
        case StructureShape():
            yield from _structure_problems(value, shape, path)
        case ListShape():
            longest = shape.metadata.get("max")
            if longest is not None and len(value) > longest:
                yield _unsatisfied(value, path, f"Member must have length less than or equal to {longest}")
            for number, item in enumerate(value, 1):
                yield from _model_problems(item, shape.member, f"{path}.{number}.member")
        case _:
            yield from _scalar_problems(value, shape, path)


def _structure_problems(value: Parameters, shape: StructureShape, path: str) -> Iterator[str]:
    for member, member_shape in shape.members.items():
        if member in UNCHECKED_MEMBERS:
            continue
        inner = f"{path}.{member[0].lower()}{member[1:]}".lstrip(".")
        if value.get(member) is not None:
            yield from _model_problems(value[member], member_shape, inner)
        elif member in shape.required_members:
            yield f"Value null at '{inner}' failed to satisfy constraint: Member must not be null"


def _scalar_problems(value: Any, shape: Shape, path: str) -> Iterator[str]:  # noqa: ANN401
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name in ("integer", "long"):
        if not isinstance(value, int):
            yield f"'{value}' at '{path}' is not an integer"
        elif least is not None and value < least:
            yield _unsatisfied(value, path, f"Member must have value greater than or equal to {least}")
        elif most is not None and value > most:
            yield _unsatisfied(value, path, f"Member must have value less than or equal to {most}")
        return
    if not isinstance(shape, StringShape):
        return
    if NOT_XML.search(value):
        yield f"Value at '{path}' has a character that no request can hold"
    if shape.enum and value not in shape.enum:
        yield _unsatisfied(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    if least is not None and len(value) < least:
        yield _unsatisfied(value, path, f"Member must have length greater than or equal to {least}")
    if most is not None and len(value) > most:
        yield _unsatisfied(value, path, f"Member must have length less than or equal to {most}")
    pattern = shape.metadata.get("pattern")
    # Python's $ also holds before a line end, and its \d takes the digits of every script.
    if pattern and not re.fullmatch(pattern.removeprefix("^").removesuffix("$"), value, re.ASCII):
        yield _unsatisfied(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _unsatisfied(value: object, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


# --- Conditions


def _conditions(conditions: Sequence[Parameters]) -> None:
    values: list[str] = []
    wildcards = 0
    for condition in conditions:
        patterns, expressions = _condition(condition)
        values += [*patterns, *expressions]
        wildcards += sum(len(re.findall(r"(?<!\\)[*?]", text)) for text in patterns)
    _require(len(values) <= MAX_CONDITION_VALUES, f"A rule can only have '{MAX_CONDITION_VALUES}' condition values")
    _require(wildcards <= MAX_WILDCARDS, f"A rule can only have '{MAX_WILDCARDS}' condition wildcards")


def _condition(condition: Parameters) -> tuple[list[str], list[str]]:
    """Check a condition, and return its values: patterns with wildcards, and regular expressions."""
    field = condition.get("Field")
    known = "', '".join(CONDITION_CONFIGS)
    _require(field in CONDITION_CONFIGS, f"Condition field '{field}' must be one of '{known}'")
    own = CONDITION_CONFIGS[str(field)]
    others = [config for config in CONDITION_CONFIGS.values() if config in condition and config != own]
    _require(not others, f"A condition with the field '{field}' does not support '{', '.join(others)}'")
    config = condition.get(own) or {}
    short = condition.get("Values") or []
    _require(not short or field in SHORT_FIELDS, f"A condition with the field '{field}' does not support 'Values'")
    values = [*(config.get("Values") or short)]
    expressions = [*(config.get("RegexValues") or []), *(condition.get("RegexValues") or [])]
    _require(values or expressions, "A condition value must be specified")
    for text in expressions:
        _check_text(text, "regular expression")
    if field == "http-header":
        _header_name(str(config.get("HttpHeaderName", "")))
    for value in values:
        VALUE_CHECKS[str(field)](value)
    return list(map(_pair_text, values)), expressions


def _pair_text(value: str | Parameters) -> str:
    return value if isinstance(value, str) else f"{value.get('Key', '')}{value.get('Value', '')}"


def _check_text(text: str, what: str) -> None:
    _require(1 <= len(text) <= PATTERN_LENGTH, f"A {what} must have 1 to {PATTERN_LENGTH} characters: '{text}'")
    _require(not CONTROL.search(text), f"A {what} must not contain control characters: {text!r}")


def _header_name(name: str) -> None:
    _require(TOKEN.fullmatch(name), f"HTTP header name '{name}' is not valid")
    _require(name.lower() != "host", "The host header cannot be used in an HTTP header condition")


def _path_pattern(value: str) -> None:
    _require(PATH_PATTERN.fullmatch(value), f"The path pattern '{value}' is not valid")


def _host_pattern(value: str) -> None:
    valid = HOST_PATTERN.fullmatch(value) and len(value) <= PATTERN_LENGTH
    _require(valid, f"The host name '{value}' is not valid")


def _header_value(value: str) -> None:
    _check_text(value, "HTTP header value")


def _method(value: str) -> None:
    _require(METHOD.fullmatch(value), f"The HTTP request method '{value}' is not valid")


def _query_pair(pair: Parameters) -> None:
    if pair.get("Key") is not None:
        _check_text(pair["Key"], "query string key")
    _check_text(pair.get("Value", ""), "query string value")


def _network(value: str) -> None:
    try:
        ip_network(value, strict=False)
    except ValueError:
        valid = False
    else:
        valid = "/" in value and "%" not in value
    _require(valid, f"The source IP address '{value}' must be in CIDR format")


VALUE_CHECKS: dict[str, Callable[[Any], None]] = {
    "path-pattern": _path_pattern,
    "host-header": _host_pattern,
    "http-header": _header_value,
    "http-request-method": _method,
    "query-string": _query_pair,
    "source-ip": _network,
}


# --- Actions


def _actions(actions: Sequence[Parameters]) -> None:
    for action in actions:
        _action(action)
    in_order = sorted(actions, key=lambda action: int(action.get("Order") or 0))
    last = [action for action in in_order if action["Type"] in LAST_ACTIONS]
    text = f"Exactly one action of type '{', '.join(LAST_ACTIONS)}' must be the last of the actions"
    _require(len(last) == 1 and in_order[-1] is last[0], text)
    orders = [action["Order"] for action in actions if "Order" in action]
    _require(len(set(orders)) == len(orders), "The actions must have different orders")


def _action(action: Parameters) -> None:
    kind = action["Type"]
    own = ACTION_CONFIGS[kind]
    others = [config for config in ACTION_CONFIGS.values() if config in action and config != own]
    _require(not others, f"An action of type '{kind}' does not support '{', '.join(others)}'")
    if kind == "forward":
        _forward(action)
        return
    _require("TargetGroupArn" not in action, f"An action of type '{kind}' does not support 'TargetGroupArn'")
    _require(own in action, f"For actions of type '{kind}', you must specify '{own}'")
    if kind == "redirect":
        _redirect(action[own])
    if kind == "fixed-response":
        _fixed_response(action[own])


def _forward(action: Parameters) -> None:
    groups = action.get("ForwardConfig", {}).get("TargetGroups") or []
    _require(groups or action.get("TargetGroupArn"), "A forward action must have a target group")
    _require(len(groups) <= MAX_GROUPS, f"A forward action can only have '{MAX_GROUPS}' target groups")
    for group in groups:
        _require(group.get("TargetGroupArn"), "A target group of a forward action must have an ARN")
        weight = group.get("Weight", 1)
        _require(0 <= weight <= MAX_WEIGHT, f"Target group weight '{weight}' must be between 0 and {MAX_WEIGHT}")
    arns = [group["TargetGroupArn"] for group in groups]
    _require(len(set(arns)) == len(arns), "The target groups of a forward action must be unique")


def _redirect(config: Parameters) -> None:
    parts = REDIRECT_DEFAULTS | {key: value for key, value in config.items() if value is not None}
    for part in ("Host", "Path", "Query"):
        text = parts[part]
        _require(not CONTROL.search(text), f"The redirect's {part} must not contain control characters: {text!r}")
        for keyword in REDIRECT_KEYWORD.findall(text):
            known = f"#{{{keyword}}}" in REDIRECT_DEFAULTS.values() or keyword == "path"
            _require(known, f"The keyword '#{{{keyword}}}' of the redirect's {part} is not known")
    port = parts["Port"]
    _require(port == "#{port}" or _is_port(port), f"The redirect's port '{port}' must be from 1 to 65535 or #{{port}}")
    _require(REDIRECT_HOST.fullmatch(parts["Host"]), f"The redirect's host '{parts['Host']}' is not valid")
    _require(parts["Path"].startswith("/"), "The redirect's path must begin with '/'")
    changed = any(parts[key] != default for key, default in REDIRECT_DEFAULTS.items())
    _require(changed, "The redirect configuration is not valid because it creates a loop", "InvalidLoadBalancerAction")


def _is_port(text: str) -> bool:
    return between(1, HIGHEST_PORT)(text)


def _fixed_response(config: Parameters) -> None:
    kind = config.get("ContentType")
    known = ", ".join(CONTENT_TYPES)
    _require(not kind or kind in CONTENT_TYPES, f"Content type '{kind}' must be one of [{known}]")


# --- Target groups and their targets


def _target_group(parameters: Parameters) -> None:
    if "Name" in parameters:
        _name(parameters["Name"], "target group")
    kind = parameters.get("TargetType", "instance")
    protocol = parameters.get("Protocol")
    if "Name" in parameters and kind != "lambda":
        _require(protocol and parameters.get("Port"), "A protocol and a port must be specified")
    if protocol in (None, *HTTP_PROTOCOLS) and (check_protocol := parameters.get("HealthCheckProtocol")):
        text = f"Health check protocol '{check_protocol}' must be one of [HTTP, HTTPS]"
        _require(check_protocol in HTTP_PROTOCOLS, text)
    path = parameters.get("HealthCheckPath", "/")
    _require(PRINTABLE_PATH.fullmatch(path), f"Health check path '{path}' must begin with a '/' and be printable ASCII")
    port = parameters.get("HealthCheckPort", "traffic-port")
    _require(port == "traffic-port" or _is_port(port), f"Health check port '{port}' is not valid")
    if kind != "lambda":
        interval, timeout = parameters.get("HealthCheckIntervalSeconds"), parameters.get("HealthCheckTimeoutSeconds")
        longer = interval is None or timeout is None or interval > timeout
        _require(longer, f"Health check interval '{interval}' must be greater than the timeout '{timeout}'")
    _matcher(parameters.get("Matcher", {}).get("HttpCode", "200"))


def _name(name: str, what: str) -> None:
    text = f"A {what} name can only contain characters that are alphanumeric characters and hyphens(-), begin and end "
    text += f"with no hyphen, and be 1 to 32 characters long: '{name}'"
    _require(NAME.fullmatch(name), text)


def _matcher(codes: str) -> None:
    for part in codes.split(","):
        ends = part.split("-")
        # All have three digits, so that their order is that of the texts.
        valid = len(ends) <= 2 and ends == sorted(ends) and all(map(HEALTHY_STATUS.fullmatch, ends))  # noqa: PLR2004  # a range
        _require(valid, f"Health check matcher HTTP code '{codes}' must be within '200-499'")


def check_targets(targets: Sequence[Parameters], target_type: str) -> None:
    """Raise Invalid when targets cannot be those of a group of a type."""
    for target in targets:
        id_ = target["Id"]
        match target_type:
            case "instance":
                _require(INSTANCE_ID.fullmatch(id_), f"Instance ID '{id_}' is not valid", "InvalidTarget")
            case "ip":
                _require(_is_address(id_), f"The IP address '{id_}' is not a valid IPv4 or IPv6 address")
            case _:
                _require(re.fullmatch(r"arn:[\w:/.$+-]+", id_, re.ASCII), f"The target '{id_}' is not a valid ARN")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


# --- Attributes: the keys that the API reference lists, each with the values that it can have


def _attributes(known: Mapping[str, Callable[[str], bool]], what: str, parameters: Parameters) -> None:
    for attribute in parameters.get("Attributes", []):
        key, value = attribute.get("Key", ""), attribute.get("Value", "")
        _require(key in known, f"{what} attribute key '{key}' is not recognized")
        text = f"{what} attribute value '{value}' of '{key}' is not valid"
        _require(known[key](value), text, "InvalidConfigurationRequest")


# --- Operations


def _load_balancer(parameters: Parameters) -> None:
    name = parameters["Name"]
    _name(name, "load balancer")
    _require(not name.startswith("internal-"), "A load balancer name must not begin with 'internal-'")


def _listener(parameters: Parameters) -> None:
    protocol = parameters.get("Protocol")
    _require(protocol in (None, *HTTP_PROTOCOLS), f"Listener protocol '{protocol}' must be one of 'HTTPS, HTTP'")
    if "DefaultActions" in parameters:
        _actions(parameters["DefaultActions"])


def _new_listener(parameters: Parameters) -> None:
    _require(parameters.get("Protocol") and parameters.get("Port"), "A listener protocol and port must be specified")
    if parameters["Protocol"] == "HTTPS":
        _require(parameters.get("Certificates"), "A certificate must be specified for HTTPS listeners")
    _listener(parameters)


def _rule(parameters: Parameters) -> None:
    if "Conditions" in parameters:
        _conditions(parameters["Conditions"])
    if "Actions" in parameters:
        _actions(parameters["Actions"])


RULES: dict[str, Callable[[Parameters], None]] = {
    "CreateLoadBalancer": _load_balancer,
    "CreateListener": _new_listener,
    "ModifyListener": _listener,
    "CreateRule": _rule,
    "ModifyRule": _rule,
    "CreateTargetGroup": _target_group,
    "ModifyTargetGroup": _target_group,
    "ModifyLoadBalancerAttributes": functools.partial(_attributes, LOAD_BALANCER_ATTRIBUTES, "Load balancer"),
    "ModifyListenerAttributes": functools.partial(_attributes, LISTENER_ATTRIBUTES, "Listener"),
    "ModifyTargetGroupAttributes": functools.partial(_attributes, TARGET_GROUP_ATTRIBUTES, "Target group"),
}

"""WAF: the log of a web ACL."""

import json
from collections.abc import Awaitable, Callable

from ministack.core.responses import (
    AccountRegionScopedDict,
    error_response_json,
    json_response,
)
from ministack.services import (
    cloudwatch_logs,
    waf,
)

from spotfleet.local.emulator.patching import extends
from spotfleet.local.emulator.records import Record, Response

# How a web ACL logs, by its ARN.
_firewall_logging = AccountRegionScopedDict()


def _put_logging_configuration(data: Record) -> Response:
    configuration = data["LoggingConfiguration"]
    web_acl = configuration["ResourceArn"]
    if all(acl["ARN"] != web_acl for acl in waf._web_acls.values()):
        return _no_such_item()
    for destination in configuration["LogDestinationConfigs"]:
        name = destination.rpartition(":log-group:")[2]
        # https://docs.aws.amazon.com/waf/latest/developerguide/logging-cw-logs.html
        if not name.startswith("aws-waf-logs-") or name not in cloudwatch_logs._log_groups:
            text = f"Error reason: The ARN isn't valid., field: LOG_DESTINATION, parameter: {destination}"
            refusal: Response = error_response_json("WAFInvalidParameterException", text, 400)
            return refusal
    _firewall_logging[web_acl] = configuration
    answer: Response = json_response({"LoggingConfiguration": configuration})
    return answer


def _get_logging_configuration(data: Record) -> Response:
    if (configuration := _firewall_logging.get(data["ResourceArn"])) is None:
        return _no_such_item()
    answer: Response = json_response({"LoggingConfiguration": configuration})
    return answer


def _delete_logging_configuration(data: Record) -> Response:
    if _firewall_logging.pop(data["ResourceArn"], None) is None:
        return _no_such_item()
    answer: Response = json_response({})
    return answer


def _no_such_item() -> Response:
    text = "AWS WAF couldn't perform the operation because your resource doesn't exist."
    answer: Response = error_response_json("WAFNonexistentItemException", text, 400)
    return answer


OPERATIONS = {
    "PutLoggingConfiguration": _put_logging_configuration,
    "GetLoggingConfiguration": _get_logging_configuration,
    "DeleteLoggingConfiguration": _delete_logging_configuration,
}


@extends(waf, "handle_request")
async def with_logging(
    original: Callable[..., Awaitable[Response]], method: str, path: str, headers: Record, body: bytes, query: Record
) -> Response:
    """Add the operations on a web ACL's log. Nothing is written to it, as no firewall inspects requests here."""
    operation = OPERATIONS.get(headers.get("x-amz-target", "").rpartition(".")[2])
    return operation(json.loads(body)) if operation else await original(method, path, headers, body, query)

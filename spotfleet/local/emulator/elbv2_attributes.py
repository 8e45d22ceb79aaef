"""The attributes of Elastic Load Balancing that its API reference lists, each with the values that it can have."""

import re
from collections.abc import Callable


def between(least: int, most: int) -> Callable[[str], bool]:
    """Return a check of a number in decimal digits; a text of thousands of them is none to Python."""
    return lambda text: bool(re.fullmatch("[0-9]{1,9}", text)) and least <= int(text) <= most


_BOOLEAN = "true|false"

_TEXT = r"[ -~]*"

# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/header-modification.html#insert-header
_FIELD_VALUE = r"""[A-Za-z0-9_ :;.,\\/"'?!(){}\[\]@<>=+*#&`|~^%-]{0,1024}"""

_FIELD_NAME = r"[A-Za-z0-9_-]{1,40}"

_BUCKET = r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?"


def _like(pattern: str) -> Callable[[str], bool]:
    return lambda text: bool(re.fullmatch(pattern, text, re.ASCII))


_OFF_OR_PERCENT = _like(r"off|[1-9]\d?|100")

LOAD_BALANCER_ATTRIBUTES: dict[str, Callable[[str], bool]] = {
    "deletion_protection.enabled": _like(_BOOLEAN),
    "load_balancing.cross_zone.enabled": _like(_BOOLEAN),
    "access_logs.s3.enabled": _like(_BOOLEAN),
    "access_logs.s3.bucket": _like(_BUCKET),
    "access_logs.s3.prefix": _like(_TEXT),
    "ipv6.deny_all_igw_traffic": _like(_BOOLEAN),
    "zonal_shift.config.enabled": _like(_BOOLEAN),
    "idle_timeout.timeout_seconds": between(1, 4000),
    "client_keep_alive.seconds": between(60, 604800),
    "connection_logs.s3.enabled": _like(_BOOLEAN),
    "connection_logs.s3.bucket": _like(_BUCKET),
    "connection_logs.s3.prefix": _like(_TEXT),
    "health_check_logs.s3.enabled": _like(_BOOLEAN),
    "health_check_logs.s3.bucket": _like(_BUCKET),
    "health_check_logs.s3.prefix": _like(_TEXT),
    "routing.http.desync_mitigation_mode": _like("monitor|defensive|strictest"),
    "routing.http.drop_invalid_header_fields.enabled": _like(_BOOLEAN),
    "routing.http.preserve_host_header.enabled": _like(_BOOLEAN),
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": _like(_BOOLEAN),
    "routing.http.xff_client_port.enabled": _like(_BOOLEAN),
    "routing.http.xff_header_processing.mode": _like("append|preserve|remove"),
    "routing.http2.enabled": _like(_BOOLEAN),
    "waf.fail_open.enabled": _like(_BOOLEAN),
}

LISTENER_ATTRIBUTES: dict[str, Callable[[str], bool]] = {
    "routing.http.response.server.enabled": _like(_BOOLEAN),
    **{
        f"routing.http.request.x_amzn_{name}.header_name": _like(_FIELD_NAME)
        for name in (
            "mtls_clientcert_serial_number",
            "mtls_clientcert_issuer",
            "mtls_clientcert_subject",
            "mtls_clientcert_validity",
            "mtls_clientcert_leaf",
            "mtls_clientcert",
            "tls_version",
            "tls_cipher_suite",
        )
    },
    **{
        f"routing.http.response.{name}.header_value": _like(_FIELD_VALUE)
        for name in (
            "strict_transport_security",
            "access_control_allow_origin",
            "access_control_allow_methods",
            "access_control_allow_headers",
            "access_control_allow_credentials",
            "access_control_expose_headers",
            "access_control_max_age",
            "content_security_policy",
            "x_content_type_options",
            "x_frame_options",
        )
    },
}

TARGET_GROUP_ATTRIBUTES: dict[str, Callable[[str], bool]] = {
    "deregistration_delay.timeout_seconds": between(0, 3600),
    "stickiness.enabled": _like(_BOOLEAN),
    "stickiness.type": _like("lb_cookie|app_cookie"),
    "stickiness.app_cookie.cookie_name": _like(r"(?!AWSALB)[!#$%&'*+.^_`|~0-9A-Za-z-]{0,255}"),
    "stickiness.app_cookie.duration_seconds": between(1, 604800),
    "stickiness.lb_cookie.duration_seconds": between(1, 604800),
    "load_balancing.cross_zone.enabled": _like(f"{_BOOLEAN}|use_load_balancer_configuration"),
    "load_balancing.algorithm.type": _like("round_robin|least_outstanding_requests|weighted_random"),
    "load_balancing.algorithm.anomaly_mitigation": _like("on|off"),
    "slow_start.duration_seconds": lambda text: text == "0" or between(30, 900)(text),
    "lambda.multi_value_headers.enabled": _like(_BOOLEAN),
    "target_group_health.dns_failover.minimum_healthy_targets.count": _like(r"off|[1-9]\d{0,3}"),
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": _OFF_OR_PERCENT,
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": _like(r"[1-9]\d{0,3}"),
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": _OFF_OR_PERCENT,
}

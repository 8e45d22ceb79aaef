"""The service's settings: what they are called in the environment, what they may be, and what they are by default."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from spotfleet.facts.origins import parse_origins

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FLAGS = {"true": True, "1": True, "false": False, "0": False}
CONTENT_SECURITY_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class SettingsError(ValueError):
    """A variable in the environment has a value that the service cannot run with."""


@dataclass(frozen=True)
class Settings:
    """How the service runs. Times are in seconds, sizes in bytes."""

    # Inside a container the published port arrives on its own interface, hence every interface.
    host: str = "0.0.0.0"  # noqa: S104
    port: int = 5000

    # "*" lets any site read, without the user's cookies; listed origins may send them.
    cors_origins: tuple[str, ...] = ("*",)
    # Browsers keep the answer to a preflight this long, Chromium two hours at most.
    cors_max_age: int = 7200
    content_security_policy: str = CONTENT_SECURITY_POLICY

    log_level: str = "INFO"
    log_requests: bool = True
    log_health_checks: bool = False
    # How many proxies in front append to X-Forwarded-For: the load balancer; one more with a CDN in front of that.
    trusted_proxies: int = 1

    # Longer than the load balancer's idle timeout (60 by default): were the service to close a connection
    # first, the balancer could be sending a request on it at that moment, and would answer 502. The template
    # sets this and the two times at the end so that they fit the environment's configuration.
    keepalive_seconds: float = 75
    header_seconds: float = 10
    body_seconds: float = 30
    # An idle one costs 9 KiB of memory, of which the container has a limit.
    max_connections: int = 5000
    max_header_bytes: int = 16 * 1024
    # What read(), text(), json() and post() of a request accept; a handler that reads a body in pieces counts itself.
    max_body_bytes: int = 1024 * 1024
    # What the bodies of all requests under way may take together; 0: a part of the memory that the container has.
    body_memory_bytes: int = 0

    # Both together must be shorter than the container's stop timeout (30 by default on ECS).
    drain_seconds: float = 5
    shutdown_seconds: float = 15


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables; one that is not set has its default.

    Raises SettingsError with one line that names the variable, the value and what is allowed.
    """
    default = Settings()
    return Settings(
        host=environment.get("HOST", default.host),
        port=_whole(environment, "PORT", default.port, 1, 65535),
        cors_origins=_origins(environment, "CORS_ORIGINS", default.cors_origins),
        cors_max_age=_whole(environment, "CORS_MAX_AGE", default.cors_max_age, 0, 86400),
        content_security_policy=_header(environment, "CONTENT_SECURITY_POLICY", default.content_security_policy),
        log_level=_log_level(environment, "LOG_LEVEL", default.log_level),
        log_requests=_flag(environment, "LOG_REQUESTS", default.log_requests),
        log_health_checks=_flag(environment, "LOG_HEALTH_CHECKS", default.log_health_checks),
        trusted_proxies=_whole(environment, "TRUSTED_PROXIES", default.trusted_proxies, 0, 10),
        keepalive_seconds=_seconds(environment, "KEEPALIVE_SECONDS", default.keepalive_seconds, 1, 7200),
        header_seconds=_seconds(environment, "HEADER_SECONDS", default.header_seconds, 1, 600),
        body_seconds=_seconds(environment, "BODY_SECONDS", default.body_seconds, 1, 3600),
        max_connections=_whole(environment, "MAX_CONNECTIONS", default.max_connections, 1, 1_000_000),
        max_header_bytes=_whole(environment, "MAX_HEADER_BYTES", default.max_header_bytes, 1024, 1024 * 1024),
        max_body_bytes=_whole(environment, "MAX_BODY_BYTES", default.max_body_bytes, 1, 1024**3),
        body_memory_bytes=_body_memory(environment, "BODY_MEMORY_BYTES", default),
        drain_seconds=_seconds(environment, "DRAIN_SECONDS", default.drain_seconds, 0, 120),
        shutdown_seconds=_seconds(environment, "SHUTDOWN_SECONDS", default.shutdown_seconds, 0, 120),
    )


def _whole(environment: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit() and low <= int(text[:20]) <= high):
        raise _wrong(name, text, f"a whole number from {low} to {high}")
    return int(text)


def _body_memory(environment: Mapping[str, str], name: str, default: Settings) -> int:
    # One body always has to fit.
    least = _whole(environment, "MAX_BODY_BYTES", default.max_body_bytes, 1, 1024**3)
    return _whole(environment, name, least, least, 1024**4) if name in environment else default.body_memory_bytes


def _seconds(environment: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    text = environment.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise _wrong(name, text, f"a number of seconds from {low} to {high}")
    return value


def _flag(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = environment.get(name, str(default))
    if text.lower() not in FLAGS:
        raise _wrong(name, text, "true or false")
    return FLAGS[text.lower()]


def _log_level(environment: Mapping[str, str], name: str, default: str) -> str:
    text = environment.get(name, default)
    if text.upper() not in LOG_LEVELS:
        raise _wrong(name, text, "one of " + ", ".join(LOG_LEVELS))
    return text.upper()


def _origins(environment: Mapping[str, str], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    text = environment.get(name, ",".join(default))
    try:
        return parse_origins(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def _header(environment: Mapping[str, str], name: str, default: str) -> str:
    text = environment.get(name, default)
    if not (text.strip() and text.isascii() and text.isprintable()):
        raise _wrong(name, text, "one line of printable ASCII characters")
    return text


def _wrong(name: str, text: str, allowed: str) -> SettingsError:
    return SettingsError(f"{name}: {text[:100]!r} is not {allowed}")

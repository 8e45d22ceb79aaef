"""The service's settings from environment variables."""

import subprocess
import sys

import pytest

from service.settings import Settings, SettingsError, settings_from


def test_defaults() -> None:
    assert settings_from({}) == Settings()


def test_keep_alive_outlasts_the_load_balancers_idle_timeout_by_default() -> None:
    assert Settings().keepalive_seconds > 60


def test_stopping_takes_less_than_the_stop_timeout_of_ecs_by_default() -> None:
    assert Settings().drain_seconds + Settings().shutdown_seconds < 30


def test_every_setting_is_read() -> None:
    assert settings_from(
        {
            "HOST": "127.0.0.1",
            "PORT": "8080",
            "CORS_ORIGINS": "https://a.example, http://localhost:3000",
            "CORS_MAX_AGE": "60",
            "CONTENT_SECURITY_POLICY": "default-src 'self'",
            "LOG_LEVEL": "debug",
            "LOG_REQUESTS": "false",
            "LOG_HEALTH_CHECKS": "TRUE",
            "TRUSTED_PROXIES": "2",
            "KEEPALIVE_SECONDS": "120",
            "HEADER_SECONDS": "2.5",
            "BODY_SECONDS": "60",
            "MAX_CONNECTIONS": "100",
            "MAX_HEADER_BYTES": "8192",
            "MAX_BODY_BYTES": "2000000",
            "BODY_MEMORY_BYTES": "9000000",
            "DRAIN_SECONDS": "0",
            "SHUTDOWN_SECONDS": "20",
        }
    ) == Settings(
        host="127.0.0.1",
        port=8080,
        cors_origins=("https://a.example", "http://localhost:3000"),
        cors_max_age=60,
        content_security_policy="default-src 'self'",
        log_level="DEBUG",
        log_requests=False,
        log_health_checks=True,
        trusted_proxies=2,
        keepalive_seconds=120,
        header_seconds=2.5,
        body_seconds=60,
        max_connections=100,
        max_header_bytes=8192,
        max_body_bytes=2000000,
        body_memory_bytes=9000000,
        drain_seconds=0,
        shutdown_seconds=20,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", ""),
        ("PORT", "80.0"),
        ("PORT", "²"),
        ("PORT", "9" * 5000),
        ("CORS_ORIGINS", ""),
        ("CORS_ORIGINS", "*,https://a.example"),
        ("CORS_ORIGINS", "a.example"),
        ("CORS_ORIGINS", "https://a.example/"),
        ("CORS_ORIGINS", "https://a.example,"),
        ("CORS_ORIGINS", "null"),
        ("TRUSTED_PROXIES", "-1"),
        ("TRUSTED_PROXIES", "11"),
        ("BODY_MEMORY_BYTES", "0"),
        ("BODY_MEMORY_BYTES", "1048575"),
        ("BODY_MEMORY_BYTES", "64M"),
        ("LOG_LEVEL", "loud"),
        ("LOG_REQUESTS", "maybe"),
        ("LOG_HEALTH_CHECKS", ""),
        ("KEEPALIVE_SECONDS", "0"),
        ("HEADER_SECONDS", "nan"),
        ("HEADER_SECONDS", "inf"),
        ("BODY_SECONDS", "ten"),
        ("DRAIN_SECONDS", "-1"),
        ("DRAIN_SECONDS", "121"),
        ("SHUTDOWN_SECONDS", "1s"),
        ("MAX_CONNECTIONS", "0"),
        ("MAX_HEADER_BYTES", "10"),
        ("MAX_BODY_BYTES", "1e6"),
        ("CONTENT_SECURITY_POLICY", "default-src 'self'\r\nX: y"),
        ("CONTENT_SECURITY_POLICY", " "),
        ("CORS_MAX_AGE", "1 day"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings_from({name: value})
    assert str(error.value).startswith(f"{name}: ")
    assert "\n" not in str(error.value)


def test_a_wrong_value_stops_the_start_with_one_line() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "service"], env={"PORT": "http"}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == "error: PORT: 'http' is not a whole number from 1 to 65535\n"

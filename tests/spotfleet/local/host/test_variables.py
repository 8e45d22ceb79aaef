"""Which environment variables reach the commands and what they start, whatever a user's shell holds."""

import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from spotfleet.local.host import paths, variables

# Each of these leads AWS's clients elsewhere, takes their credentials from elsewhere, or makes them fail.
# https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html#EVarSettings
REDIRECTING = {
    "AWS_PROFILE": "prod",
    "AWS_DEFAULT_PROFILE": "prod",
    "AWS_ACCESS_KEY_ID": "AKIAREAL",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_SECURITY_TOKEN": "real",
    "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/real",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/credentials",
    "AWS_ENDPOINT_URL": "https://evil.example",
    "AWS_ENDPOINT_URL_CLOUDFORMATION": "https://evil.example",
    "AWS_ENDPOINT_URL_S3": "https://evil.example",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "required",
    "AWS_STS_REGIONAL_ENDPOINTS": "nonsense",
    "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "nonsense",
    "AWS_SIGV4A_SIGNING_REGION_SET": "*",
    "AWS_AUTH_SCHEME_PREFERENCE": "noAuth",
    "AWS_DATA_PATH": "/nonexistent",
    "AWS_CA_BUNDLE": "/nonexistent",
    "AWS_MAX_ATTEMPTS": "many",
    "AWS_RETRY_MODE": "nonsense",
    "AWS_DEFAULTS_MODE": "nonsense",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "nonsense",
    "AWS_DISABLE_REQUEST_COMPRESSION": "nonsense",
    "AWS_NEW_ONE_OF_NEXT_YEAR": "1",
    "BOTO_CONFIG": "/nonexistent",
    "LOCAL_AWS_ENDPOINT": "https://evil.example",
    "DOCKER_API_VERSION": "1.12",
    "DOCKER_BUILDKIT": "0",
    "DOCKER_CONTENT_TRUST": "1",
    "DOCKER_DEFAULT_PLATFORM": "linux/s390x",
    "BUILDKIT_HOST": "tcp://evil.example",
    "PYTHONPATH": "/nonexistent",
    "PYTHONHOME": "/nonexistent",
    "HTTP_PROXY": "http://evil.example:3128",
    "http_proxy": "not a proxy",
    "ALL_PROXY": "socks5://evil.example",
    "no_proxy": "",
    # Words that MiniStack reads.
    "AUTH": "true",
    "USE_SSL": "1",
    "GATEWAY_PORT": "1",
    "BIND_HOST": "0.0.0.0",  # noqa: S104  # that it must not take
    "LC_ALL": "xx_YY.nonsense",
}
SERVICES = ("cloudformation", "ecs", "ecr", "sts", "s3", "elbv2", "autoscaling", "ssm", "cloudwatch")


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Return the variables of a shell that leads anywhere but here, in a home with broken configuration files."""
    monkeypatch.setattr(paths, "STATE", tmp_path / "state")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text("[default\nendpoint_url = https://evil.example\n")
    (tmp_path / ".aws/credentials").write_bytes(b"\xff\xfe[broken")
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **REDIRECTING}


@pytest.mark.parametrize("passed_to", [variables.for_sceptre, variables.for_server])
def test_no_variable_leads_to_another_aws(
    monkeypatch: pytest.MonkeyPatch, hostile: dict[str, str], passed_to: object
) -> None:
    assert callable(passed_to)
    allowed = passed_to(hostile)
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in allowed.items():
        monkeypatch.setenv(name, value)
    session = boto3.Session(region_name="eu-west-1")
    credentials = session.get_credentials()
    assert credentials is not None
    assert (credentials.access_key, credentials.token) == ("local", None)
    for service in SERVICES:
        assert session.client(service).meta.endpoint_url == paths.endpoint()  # type: ignore[call-overload]
    assert {"127.0.0.1", "localhost"} <= set(allowed["NO_PROXY"].split(","))
    assert {name for name in allowed if name.startswith("AWS_")} <= {
        *("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONFIG_FILE"),
        *("AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"),
    }
    assert not {name for name in allowed if name.startswith(("BOTO", "BUILDKIT_", "PYTHON"))}


def test_the_embedded_aws_itself_sees_no_word_of_its_users(hostile: dict[str, str]) -> None:
    assert not variables.for_server(hostile).keys() & {"AUTH", "USE_SSL", "GATEWAY_PORT", "BIND_HOST"}


def test_a_configuration_may_read_what_is_its_users(hostile: dict[str, str]) -> None:
    assert variables.for_sceptre({**hostile, "RELEASE": "42", "BASE_IMAGE": "mine:1"}).items() >= {
        ("RELEASE", "42"),
        ("BASE_IMAGE", "mine:1"),
    }


def test_the_engine_is_the_users_choice(hostile: dict[str, str]) -> None:
    chosen = {"DOCKER_HOST": "ssh://a", "DOCKER_CONTEXT": "b", "DOCKER_CONFIG": "c", "DOCKER_CERT_PATH": "d"}
    chosen |= {"DOCKER_TLS_VERIFY": "1", "BUILDX_BUILDER": "e"}
    assert variables.for_sceptre({**hostile, **chosen}).items() >= chosen.items()
    assert variables.for_server({**hostile, **chosen}).items() >= chosen.items()


@pytest.mark.parametrize("command", ["status", "down"])
def test_commands_work_in_any_shell(hostile: dict[str, str], command: str) -> None:
    """In a locale that lacks the letters of what is printed, too. Python itself would not start without its home."""
    own = {name: value for name, value in hostile.items() if not name.startswith("PYTHON")}
    own |= {"LOCAL_AWS_PORT": "1", "DOCKER_HOST": "unix:///nonexistent.sock", "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        [sys.executable, "-m", "spotfleet", command, paths.environments()[0]],
        cwd=paths.ROOT, env=own, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "Traceback" not in result.stderr
    assert "does not run" in result.stdout + result.stderr
    assert result.returncode == (0 if command == "down" else 1)


@pytest.mark.skipif("dev" not in paths.environments(), reason="it is what make takes without ENV")
def test_make_runs_its_commands_in_any_shell(hostile: dict[str, str], tmp_path: Path) -> None:
    """What Python reads stops it before a line of ours runs, and ENV, a shell's own, is no environment of ours."""
    for name in ("json", "spotfleet", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not ours')")
    own = {**hostile, "PYTHONPATH": str(tmp_path), "PYTHONIOENCODING": "klingon", "PYTHONUTF8": "7", "ENV": "/etc/shrc"}
    own |= {"LOCAL_AWS_PORT": "1", "PYTHONWARNINGS": "error", "SECONDS": "x", "RPS": "x"}
    result = subprocess.run(
        ["make", "--assume-old=.venv/installed", "status"],
        cwd=paths.ROOT, env=own, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "The embedded AWS does not run" in result.stderr
    assert "spotfleet up dev" in result.stderr
    assert "Traceback" not in result.stderr

"""A value that the hook lets pass is one that the templates' parameters take."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as options
from hypothesis.strategies import SearchStrategy, data, from_regex
from pydantic import ValidationError

from spotfleet.facts import aws_names
from spotfleet.settings.environment import Settings
from tests.support.changed import changed
from tests.templates.test_options import CERTIFICATE, MOST

FULL = MOST | {"certificate_arn": CERTIFICATE}
OTHER = {"access_logs": True, "access_logs_bucket": "logs", "egress": "endpoints"}
# Where a setting has no pattern of its own to make values from.
VALUES: dict[str, SearchStrategy[str]] = {
    "access_logs_bucket": from_regex(aws_names.BUCKET, fullmatch=True),
    "vpc_cidr": from_regex(r"\A(10|100|172|9)\.([0-9]|64|31|16)\.(0|128)\.0/(1[6-9]|2[0-9])\Z"),
    "certificate_arn": from_regex(rf"\A{aws_names.CERTIFICATE_ARN}\Z"),
    "domain_name": from_regex(rf"\A{aws_names.DOMAIN}\Z"),
    "health_check_path": from_regex(rf"\A{aws_names.HEALTH_CHECK_PATH}\Z"),
    "health_check_codes": from_regex(rf"\A{aws_names.STATUS_CODES}\Z"),
    "path_pattern": from_regex(rf"\A{aws_names.PATH_PATTERN}\Z"),
    "tls_policy": from_regex(r"\AELBSecurityPolicy-TLS13-1-[23](-Res|-Ext[0-2])?(-FIPS)?(-PQ)?-20[0-9]{2}-[01][0-9]\Z"),
}
# By parameter the setting where it has another name.
NAMES = {"flow_log_retention_days": "log_retention_days"}
# What the stacks' files write instead of a setting's own value: words for true and false, upper case, and an image
# with its digest.
WRITTEN = {"image", "deletion_protection", "empty_repository_on_delete", "detailed_monitoring", "cpu_architecture"}


def limited_parameters() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the setting and the parameter for each one with a limit."""
    found = {}
    for environment in (changed(**FULL), changed(**OTHER)):
        for stack in environment.stacks:
            for parameter, described in environment.template(stack)["Parameters"].items():
                snake = re.sub(r"(?<!^)(?=[A-Z])", "_", parameter).lower()
                found[NAMES.get(snake, snake)] = described
    for setting, described in found.items():
        if setting in Settings.model_fields and setting not in WRITTEN:
            yield setting, described


LIMITED = dict(limited_parameters())
PATTERNS = sorted(name for name, item in LIMITED.items() if "AllowedPattern" in item)
NUMBERS = sorted(name for name, item in LIMITED.items() if "MinValue" in item or "MaxValue" in item)
CHOICES = sorted(name for name, item in LIMITED.items() if "AllowedValues" in item)


def accepts(setting: str, value: object) -> bool:
    try:
        Settings.__pydantic_validator__.validate_assignment(Settings.model_construct(), setting, value)
    except ValidationError:
        return False
    return True


def test_there_are_parameters_of_each_kind() -> None:
    assert set(PATTERNS) == VALUES.keys()
    assert {"task_cpu_units", "subnet_host_bits", "alarm_p99_seconds"} <= set(NUMBERS)
    assert {"container_insights", "log_retention_days"} <= set(CHOICES)


@pytest.mark.parametrize("setting", PATTERNS)
@given(data())
@options(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_text_that_the_hook_takes_fits_the_parameter(setting: str, drawn: Any) -> None:  # noqa: ANN401  # hypothesis's
    text = drawn.draw(VALUES[setting])
    assume(accepts(setting, text))
    assert re.fullmatch(LIMITED[setting]["AllowedPattern"], text, re.ASCII)


@pytest.mark.parametrize("setting", NUMBERS)
def test_numbers_that_the_hook_takes_fit_the_parameter(setting: str) -> None:
    field = Settings.model_json_schema()["properties"][setting]
    parameter = LIMITED[setting]
    # A setting that is left out at 0 has no parameter then.
    least = field["minimum"] or (1 if setting in ("task_memory_target_percent", "requests_per_task") else 0)
    assert least >= parameter.get("MinValue", least)
    assert field["maximum"] <= parameter.get("MaxValue", field["maximum"])


@pytest.mark.parametrize("setting", CHOICES)
def test_choices_of_the_hook_are_those_of_the_parameter(setting: str) -> None:
    assert Settings.model_json_schema()["properties"][setting]["enum"] == LIMITED[setting]["AllowedValues"]

"""The hook that tells of production without HTTPS."""

from importlib.metadata import entry_points
from typing import Any

import pytest

from hooks.plain_http import PlainHttp
from tests.support.stacks import Aws, make_stack

CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"


def launch(**settings: object) -> None:
    stack = make_stack("prod/load-balancer", Aws({}))
    stack.config = {"deletion_protection": True, **settings}
    PlainHttp(stack=stack).run()


def test_sceptre_finds_the_hook() -> None:
    (entry_point,) = entry_points(group="sceptre.hooks", name="plain_http")
    assert entry_point.load() is PlainHttp


@pytest.mark.parametrize("settings", [{}, {"domain_name": ""}, {"load_balancer_scheme": "internal"}])
def test_production_without_https_says_so_in_one_line(
    caplog: pytest.LogCaptureFixture, settings: dict[str, Any]
) -> None:
    launch(**settings)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "prod answers plain HTTP only" in record.message
    for way_out in ("hosted_zone_id", "certificate_arn", "config/prod/config.yaml", "allow_plain_http: true"):
        assert way_out in record.message
    assert "\n" not in record.message


@pytest.mark.parametrize(
    "settings",
    [
        {"allow_plain_http": True},
        {"certificate_arn": CERTIFICATE},
        {"hosted_zone_id": "Z0123456789ABC"},
        {"deletion_protection": False},
    ],
)
def test_nothing_is_said_where_it_is_meant_or_not_so(
    caplog: pytest.LogCaptureFixture, settings: dict[str, Any]
) -> None:
    launch(**settings)
    assert caplog.records == []

"""The gate that `make scan` puts behind checkov, which says "all well" about a template that it could not read."""

from typing import Any

from tools.scan_templates import problems

FAILED = {"file_path": "/dev/vpc.json", "check_id": "CKV_AWS_88", "check_name": "no public address"}
FAILED |= {"resource": "AWS::EC2::Instance.NatInstance"}


def report(
    failed: tuple[dict[str, Any], ...] = (),
    skipped: tuple[dict[str, Any], ...] = (),
    parsing_errors: int = 0,
    resource_count: int = 7,
) -> dict[str, Any]:
    return {
        "summary": {"parsing_errors": parsing_errors, "resource_count": resource_count},
        "results": {"failed_checks": list(failed), "skipped_checks": list(skipped)},
    }


def test_nothing_found_in_all_resources_is_good() -> None:
    assert problems(report(), 7) == []


def test_a_failed_check_is_named_with_its_resource() -> None:
    assert problems(report(failed=(FAILED,)), 7) == [
        "build/scan/dev/vpc.json: CKV_AWS_88 NatInstance: no public address"
    ]


def test_a_skipped_check_needs_a_reason() -> None:
    skipped = {**FAILED, "check_result": {"suppress_comment": ""}}
    assert problems(report(skipped=(skipped,)), 7) == [
        "build/scan/dev/vpc.json: CKV_AWS_88 is skipped without a reason"
    ]
    skipped = {**FAILED, "check_result": {"suppress_comment": "a NAT instance needs one"}}
    assert problems(report(skipped=(skipped,)), 7) == []


def test_a_template_that_was_not_read_is_a_finding() -> None:
    assert problems(report(parsing_errors=1), 7) == ["checkov could not read 1 of the templates"]


def test_a_resource_that_was_not_seen_is_a_finding() -> None:
    assert problems(report(resource_count=6), 7) == ["checkov saw 6 resources of 7"]

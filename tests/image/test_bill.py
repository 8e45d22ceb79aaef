"""The image's bill of materials: what is made of syft's list, what `make scan` demands of it, and what it looks up."""

import json
from pathlib import Path
from typing import Any

import pytest

from image.bill_of_materials import FILE, has_interpreter, interpreter, main, reproducible
from tools.advisories import NotLookedUpError, faults_of_grype, faults_of_pip_audit
from tools.bill_of_materials import pins, problems

REQUIREMENTS = """\
# Pinned.
aiohttp[speedups]==3.14.5 \\
    --hash=sha256:00 \\
    --hash=sha256:11
    # via -r service/requirements.in
typing-extensions==4.16.0 ; python_full_version < '3.13' \\
    --hash=sha256:22
pywin32==312 ; sys_platform == 'win32' \\
    --hash=sha256:33
"""


def part(purl: str) -> dict[str, Any]:
    name, _, version = purl.rpartition("/")[2].partition("@")
    return {"type": "library", "name": name, "version": version, "purl": purl}


def bill(*purls: str, system: str | None = "debian") -> dict[str, Any]:
    components = [part(purl) for purl in purls]
    if system:
        components.append({"type": "operating-system", "name": system, "version": "12"})
    return {"components": components}


GLIBC = ("pkg:deb/debian/libc6@2.36-9", "pkg:deb/debian/libssl3@3.0.22-1")
PYTHON = "pkg:generic/python@3.13.9"
AIOHTTP = "pkg:pypi/aiohttp@3.14.5"


def test_a_whole_bill_is_good() -> None:
    assert problems(bill(*GLIBC, PYTHON, AIOHTTP), REQUIREMENTS) == []


@pytest.mark.parametrize(
    ("system", "c_library", "openssl"),
    [
        ("raspbian", "pkg:deb/raspbian/libc6@2.36-9", "pkg:deb/raspbian/libssl3t64@3.5"),
        ("alpine", "pkg:apk/alpine/musl@1.2.5-r9", "pkg:apk/alpine/libssl3@3.5"),
        ("wolfi", "pkg:apk/wolfi/glibc@2.42", "pkg:apk/wolfi/libssl3@3.6"),
    ],
)
def test_the_packages_count_and_not_the_systems_name(system: str, c_library: str, openssl: str) -> None:
    assert problems(bill(c_library, openssl, PYTHON, AIOHTTP, system=system), REQUIREMENTS) == []


@pytest.mark.parametrize(
    ("part_of_base", "version"),
    [
        ("pkg:deb/debian/python3.11-minimal@3.11.2-6+deb12u9", "3.11.2"),
        ("pkg:rpm/redhat/python3@3.12.12-1.el9", "3.12.12"),
        ("pkg:generic/python@3.12.1", "3.12.1"),
    ],
)
def test_what_is_required_depends_on_the_images_python(part_of_base: str, version: str) -> None:
    assert pins(REQUIREMENTS, version) == {"aiohttp": "3.14.5", "typing-extensions": "4.16.0"}
    found = problems(bill(*GLIBC, part_of_base, AIOHTTP), REQUIREMENTS)
    assert found == ["typing-extensions 4.16.0 is required and not in the bill of materials"]
    assert problems(bill(*GLIBC, part_of_base, AIOHTTP, "pkg:pypi/typing_extensions@4.16.0"), REQUIREMENTS) == []


@pytest.mark.parametrize(
    ("parts", "system", "problem"),
    [
        ((*GLIBC, PYTHON), "debian", "aiohttp 3.14.5 is required and not in the bill of materials"),
        (
            (*GLIBC, PYTHON, "pkg:pypi/aiohttp@3.14.4"),
            "debian",
            "aiohttp 3.14.4 is in the image, and service/requirements.txt asks for 3.14.5",
        ),
        (
            (*GLIBC, PYTHON, AIOHTTP, "pkg:pypi/pip@26.3"),
            "debian",
            "pip 26.3 is in the image, and service/requirements.txt does not name it",
        ),
        ((*GLIBC, AIOHTTP), "debian", "Python itself is not in the bill of materials"),
        ((GLIBC[1], PYTHON, AIOHTTP), "ubuntu", "the C library of ubuntu is not in the bill of materials"),
        ((GLIBC[0], PYTHON, AIOHTTP), "debian", "OpenSSL of debian is not in the bill of materials"),
        ((PYTHON, AIOHTTP, "pkg:apk/alpine/musl@1"), "alpine", "OpenSSL of alpine is not in the bill of materials"),
        (
            (PYTHON, AIOHTTP),
            "rhel",
            "the packages of rhel are not in the bill of materials: only dpkg's and apk's can be",
        ),
        (
            (*GLIBC, PYTHON, AIOHTTP),
            None,
            "the system's release is not in the bill of materials, so no scanner can judge its packages",
        ),
    ],
)
def test_what_is_missing_or_other_is_named(parts: tuple[str, ...], system: str | None, problem: str) -> None:
    assert problems(bill(*parts, system=system), REQUIREMENTS) == [problem]


def test_a_python_that_belongs_to_no_package_is_added() -> None:
    assert not has_interpreter(bill(*GLIBC, "pkg:pypi/python-dateutil@2.9", "pkg:pypi/python@1")["components"])
    for known in ("pkg:deb/debian/python3.11-minimal@3.11.2", "pkg:apk/alpine/python3@3.12", PYTHON):
        assert has_interpreter(bill(known)["components"])
    assert has_interpreter([interpreter()])
    assert interpreter()["cpe"].startswith("cpe:2.3:a:python:python:3.")


def test_the_bill_of_the_same_image_is_the_same() -> None:
    listed = {"serialNumber": "urn:uuid:1", "metadata": {"timestamp": "now", "tools": {}}, "components": []}
    assert reproducible(listed) == {"metadata": {"tools": {}}, "components": []}


def test_a_base_on_which_syft_does_not_run_gets_no_bill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(tmp_path / "syft", tmp_path)
    assert not (tmp_path / FILE).exists()
    assert "no bill of materials" in capsys.readouterr().out


def audit_report(**more: object) -> str:
    return json.dumps({"dependencies": [{"name": "aiohttp", "version": "3.14.5"} | more], "fixes": []})


def test_pip_audit_knows_nothing_against_a_package_only_when_it_says_so() -> None:
    assert faults_of_pip_audit(audit_report(vulns=[]), "") == []
    fault = {"id": "PYSEC-2026-1", "fix_versions": ["3.14.6"], "aliases": [], "description": "…"}
    assert faults_of_pip_audit(audit_report(vulns=[fault]), "") == ["aiohttp 3.14.5: PYSEC-2026-1, mended in 3.14.6"]
    assert faults_of_pip_audit(audit_report(vulns=[fault | {"fix_versions": []}]), "")[0].endswith("no version yet")


@pytest.mark.parametrize(
    ("output", "errors", "reason"),
    [
        (
            "",
            "WARNING:…\nERROR:pip_audit._cli:cannot reach PyPI\n",
            "pip-audit: ERROR:pip_audit._cli:cannot reach PyPI",
        ),
        ("No known vulnerabilities found", "", "pip-audit: no answer"),
        (audit_report(skip_reason="not on PyPI"), "", "pip-audit left out aiohttp"),
    ],
)
def test_no_answer_is_not_a_good_one(output: str, errors: str, reason: str) -> None:
    with pytest.raises(NotLookedUpError) as raised:
        faults_of_pip_audit(output, errors)
    assert str(raised.value) == reason


def test_grype_counts_severe_faults_that_may_have_a_remedy() -> None:
    def match(severity: str, state: str, *versions: str) -> dict[str, Any]:
        fault = {"id": "CVE-1", "severity": severity, "fix": {"versions": list(versions), "state": state}}
        return {"artifact": {"name": "libssl3", "version": "1"}, "vulnerability": fault}

    matches = [match("High", "fixed", "2"), match("High", "wont-fix"), match("Medium", "fixed", "2")]
    matches += [match("Critical", "not-fixed"), match("Critical", "unknown")]
    assert faults_of_grype(json.dumps({"matches": matches}), "") == [
        "libssl3 1: CVE-1, High, mended in 2",
        "libssl3 1: CVE-1, Critical, mended in a version that it does not know",
    ]
    with pytest.raises(NotLookedUpError, match="grype: failed to load vulnerability db"):
        faults_of_grype("", "failed to load vulnerability db\n")

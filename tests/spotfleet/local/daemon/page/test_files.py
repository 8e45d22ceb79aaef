"""What a browser loads to show the live page, and the policy that it gets with it."""

import hashlib
import re
from pathlib import Path

import pytest

from spotfleet.local.api import embedded_aws
from spotfleet.local.daemon.page import files

HOST = "127.0.0.1:4566"
LIBRARY = next((files.FOLDER / "vendor").iterdir())
OWN = [file for file in (files.PAGE, *files.FOLDER.glob("*.*")) if file.suffix in files.KINDS]


def get(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a file of the page."""
    answer = files.answer(path, {"host": HOST} | headers)
    assert answer is not None, path
    status, found, body = answer
    return status, {name.decode(): value.decode() for name, value in found}, body


def test_the_library_is_the_one_that_was_recorded() -> None:
    recorded = dict(re.findall(r"^\| `(.+?)` \| `(.+?)` \|$", (LIBRARY / "README.md").read_text(), re.MULTILINE))
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in LIBRARY.iterdir()}
    del found["README.md"]
    assert found == recorded
    assert LIBRARY.name.rpartition("-")[2] in (LIBRARY / "README.md").read_text().splitlines()[0]
    assert b"MIT" in (LIBRARY / "LICENSE").read_bytes()


def test_all_that_the_page_and_its_scripts_name_is_served() -> None:
    names = re.findall(r'(?:src|href)="(.+?)"', files.PAGE.read_text())
    paths = [f"{embedded_aws.PAGE_PATH.rpartition('/')[0]}/{name}" for name in names]
    for script in files.FOLDER.glob("*.js"):
        imported = re.findall(r'from "\./(.+?)"', script.read_text())
        paths += [f"{embedded_aws.PAGE_PATH}/{name}" for name in imported]
    assert len(paths) > len(OWN)
    for path in paths:
        assert get(path)[0] == 200


@pytest.mark.parametrize(
    ("name", "kind"),
    [("", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css"), ("/icon.svg", "image/svg+xml")],
)
def test_each_file_has_its_type_and_is_not_sent_twice(name: str, kind: str) -> None:
    status, headers, body = get(f"{embedded_aws.PAGE_PATH}{name}")
    assert (status, headers["content-type"].partition(";")[0]) == (200, kind)
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-cache", "nosniff")
    assert int(headers["content-length"]) == len(body)
    again = get(f"{embedded_aws.PAGE_PATH}{name}", **{"if-none-match": headers["etag"]})
    assert (again[0], again[2]) == (304, b"")
    assert get(f"{embedded_aws.PAGE_PATH}{name}", **{"if-none-match": '"older"'})[2] == body


def test_the_library_is_kept_by_the_browser_as_its_version_is_in_its_address() -> None:
    headers = get(f"{embedded_aws.PAGE_PATH}/vendor/{LIBRARY.name}/uPlot.iife.min.js")[1]
    assert headers["cache-control"] == "private, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/_spotfleet", "/_spotfleet/page/", "/_spotfleet/page.json", "/_spotfleet/page/../page.py"),
        *(
            "/_spotfleet/page/vendor",
            "/_spotfleet/page//etc/passwd",
            f"/_spotfleet/page/vendor/{LIBRARY.name}/README.md",
        ),
    ],
)
def test_nothing_else_is_a_file_of_the_page(path: str) -> None:
    assert files.answer(path, {"host": HOST}) is None


def test_the_policy_lets_the_page_load_its_own_files_and_nothing_else() -> None:
    policy = get(embedded_aws.PAGE_PATH)[1]["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    own = f"http://{HOST}/_spotfleet/page/"
    assert rules == {
        **{"default-src": "'none'", "connect-src": "'self'", "script-src": own, "style-src": own, "img-src": own},
        **{"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"},
        **{"require-trusted-types-for": "'script'", "trusted-types": "'none'"},
    }


@pytest.mark.parametrize("file", OWN, ids=lambda file: file.name)
def test_our_own_files_ask_this_machine_only_and_make_no_markup_of_text(file: Path) -> None:
    text = re.sub(r"/\*.*?\*/", "", file.read_text(), flags=re.DOTALL).replace("http://www.w3.org/2000/svg", "")
    for words in ("http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "style=", "onclick="):
        assert words not in text
    assert "<script>" not in text
    assert "<style" not in text
    assert max(len(line) for line in file.read_text().splitlines()) <= 120

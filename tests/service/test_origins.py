"""What an origin is: the check of the settings and the service agree, and both agree with browsers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings import SettingsError, settings_from
from spotfleet.facts.origins import parse_origins
from spotfleet.settings.problems import find_problems
from tests.hooks.test_valid_settings import settings


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("*", ["*"]),
        (" * ", ["*"]),
        ("https://a.example", ["https://a.example"]),
        ("https://App.Example.COM, HTTP://B.example:8080", ["https://app.example.com", "http://b.example:8080"]),
        ("https://a.example:443,http://a.example:80", ["https://a.example", "http://a.example"]),
        ("https://a.example:80,http://a.example:443", ["https://a.example:80", "http://a.example:443"]),
        ("https://a.example:08443", ["https://a.example:8443"]),
        ("https://a.example,https://A.example,https://a.example:443", ["https://a.example"]),
        ("https://a.example ,  https://b.example ", ["https://a.example", "https://b.example"]),
        ("http://localhost:3000", ["http://localhost:3000"]),
        ("http://127.0.0.1:3000", ["http://127.0.0.1:3000"]),
        ("http://[::1]:3000,https://[2001:DB8:0:0::1]", ["http://[::1]:3000", "https://[2001:db8::1]"]),
        ("https://[::ffff:192.0.2.1]", ["https://[::ffff:c000:201]"]),
        ("https://xn--bcher-kva.example", ["https://xn--bcher-kva.example"]),
        ("https://my_host.example", ["https://my_host.example"]),
    ],
)
def test_origins_are_what_browsers_send(text: str, origins: list[str]) -> None:
    assert list(parse_origins(text)) == origins
    assert list(settings_from({"CORS_ORIGINS": text}).cors_origins) == origins
    assert find_problems(settings(cors_origins=text)) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing"),
        (" ", "missing"),
        (",", "missing"),
        ("https://a.example,", "missing"),
        ("https://a.example,,https://b.example", "missing"),
        ("*,https://a.example", "alone"),
        ("https://a.example,*", "alone"),
        ("*,*", "alone"),
        ("https://*.example", "not for a part"),
        ("null", "any site"),
        ("NULL", "any site"),
        ("a.example", "scheme"),
        ("//a.example", "scheme"),
        ("https:a.example", "scheme"),
        ("https://", "host name"),
        ("https://:443", "host name"),
        ("ftp://a.example", "begins with"),
        ("file://", "begins with"),
        ("chrome-extension://abcdef", "begins with"),
        ("https://a.example/", "slash at the end"),
        ("https://a.example/path", "path"),
        ("https://a.example?", "path"),
        ("https://a.example#", "path"),
        ("https://user@a.example", "user"),
        ("https://a.example:", "a port is"),
        ("https://a.example:0", "a port is"),
        ("https://a.example:65536", "a port is"),
        ("https://a.example:http", "a port is"),
        ("https://a.example:\u0664", "a port is"),
        ("https://a b.example", "host name"),
        ("https://a.example https://b.example", "scheme"),
        ("https://a..example", "host name"),
        ("https://.example", "host name"),
        ("https://b\u00fccher.example", "xn--"),
        ("https://a\u3002example", "xn--"),
        ("https://a%2eexample", "host name"),
        ("https://" + "a" * 64 + ".example", "host name"),
        ("https://" + "a." * 127 + "example", "host name"),
        ("https://1.2.3", "IPv4"),
        ("https://256.1.1.1", "IPv4"),
        ("https://0x7f.1", "IPv4"),
        ("https://2130706433", "IPv4"),
        ("https://[::1", "scheme"),
        ("https://[]", "IPv6"),
        ("https://[a.example]", "IPv6"),
        ("https://[fe80::1%25eth0]", "IPv6"),
        ("https://[fe80::1%eth0]", "IPv6"),
    ],
)
def test_what_is_no_origin_is_refused_in_words_by_both(text: str, reason: str) -> None:
    problems = find_problems(settings(cors_origins=text))
    assert "must be * or origins such as https://example.com" in problems["cors_origins"]
    assert reason in problems["cors_origins"]
    with pytest.raises(SettingsError, match="CORS_ORIGINS: must") as error:
        settings_from({"CORS_ORIGINS": text})
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


PARTS = st.sampled_from(
    [
        *"*,:/[].-_@#?% \t\n\\",
        "http",
        "https",
        "://",
        "a",
        "A.example",
        "127.0.0.1",
        "::1",
        "443",
        "80",
        "null",
        "\u00fc",
    ]
)


@given(st.one_of(st.text(max_size=40), st.lists(PARTS, max_size=12).map("".join)))
def test_both_sides_accept_the_same_and_read_it_alike(text: str) -> None:
    accepted = find_problems(settings(cors_origins=text)) == {}
    try:
        origins = settings_from({"CORS_ORIGINS": text}).cors_origins
    except SettingsError:
        assert not accepted
    else:
        assert accepted
        assert origins
        assert len(set(origins)) == len(origins)
        # What a browser sends is what it sends.
        assert parse_origins(",".join(origins)) == origins

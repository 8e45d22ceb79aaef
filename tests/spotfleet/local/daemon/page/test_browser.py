"""The live page in a browser, which is given a made-up environment by a server that a test can stop."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from spotfleet.local.api import embedded_aws
from tests.support import chromium, page_server
from tests.support.chromium import Tab

pytestmark = pytest.mark.matrix

LONG = [f"a_service_with_a_very_long_name_that_has_sixty_characters_{number:02}x" for number in range(3)]
HOSTILE = "<img src=x onerror=alert(1)>"
LOST = 'document.body?.dataset.state === "lost"'
LIVE = 'document.body?.dataset.state === "live"'
CANVASES = "[...document.querySelectorAll('.plot canvas')].filter((one) => one.width > 0 && one.height > 0).length"
MIDDLE = """(() => { const over = document.querySelector('[data-chart="requests"] .u-over');
    over.scrollIntoView({block: "center"});
    const place = over.getBoundingClientRect(); return [place.x + place.width * %s, place.y + place.height / 2]; })()"""


class Source:
    """A server of the live page that shows `shown`, and can go away and come back."""

    def __init__(self) -> None:
        self.shown: dict[str, Any] = page_server.snapshot(["web"])
        self.port = 0

    @property
    def url(self) -> str:
        """The address of the page, with its key."""
        return f"http://127.0.0.1:{self.port}{embedded_aws.PAGE_PATH}#{page_server.KEY}"

    async def start(self) -> None:
        """Answer, on the port of the last time."""
        self._runner = web.AppRunner(page_server.application(lambda: self.shown), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Go away."""
        await self._runner.cleanup()


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    """A server that answers."""
    made = Source()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    """An empty page of a browser."""
    async with chromium.tab(tmp_path / "browser") as opened:
        yield opened


async def shown_text(tab: Tab) -> str:
    """Return all words on the page."""
    text: str = await tab.value("document.body.textContent")
    return text


async def test_charts_have_lines_values_at_the_pointer_and_events(source: Source, tab: Tab) -> None:
    await tab.open(source.url)
    assert await tab.until(CANVASES) == 7
    assert await tab.value("document.querySelectorAll('[data-chart=\"requests\"] .mark').length") >= 6
    for sign in ("▲", "✓", "↕", "+", "!", "\u2212", "✕"):
        assert await tab.value(
            f"document.querySelector('[data-chart=\"tasks\"] .marks').textContent.includes('{sign}')"
        )
    before = await tab.value("document.querySelector('[data-chart=\"latency\"] .value').textContent")
    await tab.point(*await tab.value(MIDDLE % 0.3))
    tip = await tab.until("document.querySelector('[data-chart=\"requests\"] .tip:not([hidden])')?.textContent")
    assert "ago" in tip
    assert "/s" in tip
    assert "Setting desired count to 4." in tip
    assert "the metric was at 95.0, its target is 70" in tip
    at_pointer = await tab.value("document.querySelector('[data-chart=\"latency\"] .value').textContent")
    assert at_pointer != before, "the other charts follow the pointer"
    await tab.point(1, 1)
    await tab.until("document.querySelectorAll('.tip:not([hidden])').length === 0")
    text = await shown_text(tab)
    for words in ("10 x real time; LOCAL_SPEED=1 for real time", "on-demand", "Spot, draining", "MiB free", "120 s"):
        assert words in text
    assert tab.errors == []


async def test_charts_are_reached_and_read_by_keys(source: Source, tab: Tab) -> None:
    await tab.open(source.url)
    await tab.until(CANVASES)
    label = await tab.value("document.querySelector('[data-chart=\"use\"] .plot').ariaLabel")
    assert label.startswith("CPU and memory, now: CPU ")
    assert "memory 41.5 %, CPU target 70 %. 9 events in the shown time." in label
    await tab.value("document.querySelector('[data-chart=\"use\"] .plot').focus()")
    said = "document.querySelector('[data-chart=\"use\"] output').textContent"
    await tab.press("ArrowLeft")
    first = await tab.until(said)
    await tab.press("ArrowLeft")
    assert await tab.until(f"{said} !== {first!r} && {said}")
    assert "memory 41.5 %" in first
    await tab.press("Escape")
    assert await tab.value("document.querySelectorAll('.tip:not([hidden])').length") == 0


async def test_a_finger_moves_the_pointer_from_chart_to_chart(source: Source, tab: Tab) -> None:
    await tab.open(source.url, width=360)
    await tab.until(CANVASES)
    await tab.send("Emulation.setTouchEmulationEnabled", enabled=True)
    for chart in ("requests", "latency"):
        place = MIDDLE.replace("requests", chart)
        for share in (0.5, 0.55, 0.6, 0.65):
            (x, y), kind = await tab.value(place % share), "touchStart" if share == 0.5 else "touchMove"
            await tab.send("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        await tab.until(f"document.querySelector('[data-chart={chart}] .tip:not([hidden])') !== null")
        assert await tab.value("document.querySelectorAll('.tip:not([hidden])').length") == 1
        await tab.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
async def test_many_services_machines_and_tasks_fit_any_width(
    source: Source, tab: Tab, width: int, *, dark: bool
) -> None:
    source.shown = page_server.snapshot(LONG, machines=20, tasks=200)
    await tab.open(source.url, width, dark=dark)
    assert await tab.until(CANVASES) == 7
    assert await tab.value("document.documentElement.scrollWidth") <= width
    assert await tab.value("document.querySelectorAll('.machine').length") == 20
    assert await tab.value("document.querySelectorAll('.tasks li').length") == 200
    ground = await tab.value("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") is not dark
    legend = "[...document.querySelectorAll('[data-chart=\"requests\"] .name')].map((one) => one.textContent)"
    assert await tab.value(legend) == LONG
    select = "document.querySelector('select')"
    await tab.value(f"{select}.value = {LONG[1]!r}; {select}.dispatchEvent(new Event('change'))")
    assert await tab.value(legend.replace("requests", "latency")) == ["p99", "p50"]
    # For the pointer's values the page does not grow wider either.
    await tab.point(*await tab.value(MIDDLE % 0.5))
    await tab.until("document.querySelectorAll('.tip:not([hidden])').length")
    assert await tab.value("document.documentElement.scrollWidth") <= width
    assert tab.errors == []


async def test_what_comes_from_outside_is_text(source: Source, tab: Tab) -> None:
    source.shown = page_server.snapshot([HOSTILE, "api"])
    dev = source.shown["environments"][0]
    dev["machines"][0] |= {"id": HOSTILE, "zone": HOSTILE, "state": HOSTILE, "type": HOSTILE, "kind": HOSTILE}
    dev["tasks"][0] |= {"id": HOSTILE, "state": HOSTILE, "health": HOSTILE, "address": HOSTILE, "service": HOSTILE}
    dev["events"] = [{"time": source.shown["time"] - 1, "kind": HOSTILE, "what": HOSTILE, "why": HOSTILE}]
    dev |= {"stacks": {HOSTILE: HOSTILE}, "problem": HOSTILE, "phase": HOSTILE}
    source.shown["controllers"] = [{"name": HOSTILE, "state": "restarting", "restarts": 1, "last_error": HOSTILE}]
    await tab.open(source.url)
    await tab.until(CANVASES)
    assert (await shown_text(tab)).count(HOSTILE) > 15
    assert await tab.value("document.querySelectorAll('img, [onerror]').length") == 0
    assert tab.errors == []


async def test_the_page_says_that_the_embedded_aws_is_away_and_comes_back_with_it(source: Source, tab: Tab) -> None:
    source.shown = page_server.told([])
    await tab.open(source.url)
    await tab.until(LIVE)
    assert "No environment is launched" in await shown_text(tab)
    source.shown = page_server.told([page_server.NOTHING])
    await tab.until("document.querySelector('.phase')?.textContent === 'is being launched or changed'")
    source.shown = page_server.snapshot(["web"])
    assert await tab.until(CANVASES) >= 2
    assert tab.errors == []
    await source.stop()
    await tab.until(LOST)
    assert "does not answer" in await shown_text(tab)
    assert await tab.value(CANVASES), "what was there can still be looked at"
    source.shown = page_server.snapshot(["web", "api"])
    await source.start()
    await tab.until(LIVE)
    await tab.until("document.querySelectorAll('.service').length === 2")


async def test_the_page_says_when_there_is_another_key_and_takes_it(source: Source, tab: Tab) -> None:
    await tab.open(source.url + "of-an-earlier-start")
    await tab.until(LOST)
    assert "make status" in await shown_text(tab)
    assert await tab.value("document.querySelectorAll('#main > *').length") == 0
    await tab.value(f"location.hash = '{page_server.KEY}'")
    await tab.until(LIVE)
    assert await tab.until(CANVASES) == 7

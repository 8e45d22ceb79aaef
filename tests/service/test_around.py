"""What the templates give the service, what goes into its image, and what the documentation says of its pages."""

import re
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from service import app as service_app
from service.settings import Settings, settings_from
from spotfleet.image.build_context import entries
from tests.support.changed import Changed, changed
from tests.support.projects import ROOT
from tests.templates.test_options import MOST, OTHER, variables


def times(environment: Changed) -> tuple[float, float, float]:
    """Return the times that the service takes from its variables: for keep-alive, draining, and the requests left."""
    given = {name: value for name, value in variables(environment).items() if isinstance(value, str)}
    settings = settings_from(given)
    return settings.keepalive_seconds, settings.drain_seconds, settings.shutdown_seconds


def test_the_services_times_fit_the_load_balancers_and_the_stop_timeout() -> None:
    assert times(changed()) == (60 + 15, 5, 30 - 5 - 3)
    assert times(changed(**OTHER)) == (4000 + 15, 0, 0)


def test_ones_own_times_come_first_and_are_counted_in() -> None:
    assert times(changed(**MOST)) == (Settings().keepalive_seconds, 20, 70 - 20 - 3)
    assert "KEEPALIVE_SECONDS" not in variables(changed(**MOST))


async def test_pages_of_ones_own_take_the_place_of_the_handlers(
    monkeypatch: pytest.MonkeyPatch,
    aiohttp_client: Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]],
) -> None:
    page = (ROOT / "docs" / "bring-your-own-container.md").read_text()
    example: dict[str, object] = {}
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], example)  # noqa: S102  # our own page's example
    monkeypatch.setattr(service_app, "handlers", SimpleNamespace(**example))
    client = await aiohttp_client(service_app.create_app(Settings()))
    assert await (await client.get("/hello/world")).text() == "Hello world"
    assert (await client.get("/healthcheck")).status == 200


def test_the_context_of_this_project_is_the_service_and_what_assembles_its_image() -> None:
    paths = [entry.path for entry in entries(ROOT)]
    assert "service/requirements.txt" in paths
    assert {path.partition("/")[0] for path in paths} == {"service", "image", "spotfleet"}
    # The check that hook and service share.
    assert [path for path in paths if path.endswith(".py") and path.startswith("spotfleet/")] == [
        "spotfleet/facts/origins.py"
    ]
    assert not [path for path in paths if "__pycache__" in path]

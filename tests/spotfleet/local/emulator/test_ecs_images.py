"""A task waits for its image (rule E10)."""

from types import ModuleType

import pytest


@pytest.fixture
def images(emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module with typical delays, on a computer that has fetched nothing."""
    module: ModuleType = emulator.ecs_images
    monkeypatch.setattr(module, "_layers", {})
    monkeypatch.setattr(module.delays, "of", lambda delay, _occurrence: delay.typical)
    return module


def test_a_machine_fetches_each_layer_once(images: ModuleType) -> None:
    first = {"base": 60.0, "code": 30.0}
    assert images._there_at("i-1", "web:1", first, 100.0) == pytest.approx(105)
    # The second task, while the image comes, and then when it is there.
    assert images._there_at("i-1", "web:1", first, 101.0) == pytest.approx(105)
    assert images._there_at("i-1", "web:1", first, 200.0) == pytest.approx(201)
    # The next release shares the base; another machine has nothing.
    assert images._there_at("i-1", "web:2", {"base": 60.0, "new": 30.0}, 300.0) == pytest.approx(303)
    assert images._there_at("i-2", "web:2", {"base": 60.0, "new": 30.0}, 300.0) == pytest.approx(305)

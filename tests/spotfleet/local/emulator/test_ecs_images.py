"""A task waits for its image (rule E10)."""

import json
from types import ModuleType, SimpleNamespace

import docker.errors
import pytest
import requests


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


def test_the_registry_knows_what_an_image_weighs(emulator: ModuleType) -> None:
    registry, digest = emulator.ecr, "sha256:1"
    manifest = {"config": {"digest": "sha256:2"}, "layers": [{"size": 3 * 1024 * 1024}]}
    with emulator.ecs_health.request_scope("000000000000", "eu-test-2"):
        record = {"imageDigest": digest, "imageTags": ["one"], "imageManifest": json.dumps(manifest)}
        registry.ecr._images["web"] = [record]
        registry.ecr._layer_blobs["web"] = {"sha256:2": json.dumps({"rootfs": {"diff_ids": ["base"]}}).encode()}
        for name in (f"web@{digest}", "web:one"):
            assert emulator.ecs_images._layers_of(None, f"{registry._address()}/{name}") == {"base": 3.0}
        assert registry.manifest_and_configuration(f"{registry._address()}/web:two") is None
        assert registry.manifest_and_configuration("nginx:one") is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (requests.ReadTimeout(request=requests.Request("POST", "http://engine/containers/a/start")), "waiting 3m0s"),
        (requests.ReadTimeout(request=requests.Request("POST", "http://engine/containers/create")), "waiting 4m0s"),
        (docker.errors.APIError("500", explanation="full"), "CannotCreateContainerError: Error response from daemon: "),
    ],
)
def test_a_container_that_docker_does_not_start_fails_its_task_in_the_words_of_the_agent(
    images: ModuleType, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def run(*_arguments: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr(images, "_there_at", lambda *_arguments: 0.0)
    monkeypatch.setattr(images, "_layers_of", lambda *_arguments: {})
    engine = SimpleNamespace(api=SimpleNamespace(timeout=60))
    with pytest.raises(images.NotStartedError, match=reason) as raised:
        images.after_its_image(run, engine, {"image": "web:1"}, {"labels": {images.TASK_LABEL: "t"}})
    told: list[str] = []
    said = f"ResourceInitializationError: unable to pull image or start container: {raised.value}"
    images.in_the_words_of_the_agent(lambda _task, _engine, text: told.append(text), {}, None, said)
    assert told == [str(raised.value)]

"""What of an image a machine fetches: the worked example of rule E10."""

import pytest

from spotfleet.behaviour import delays, image_pull


def test_the_first_task_of_a_release_waits_for_the_image() -> None:
    wanted = {"base": 60.0, "packages": 25.0, "code": 5.0}
    typical = (delays.IMAGE_PULL_START.typical, delays.IMAGE_PULL_MEBIBYTE.typical)
    assert delays.image_pull(*typical, image_pull.missing(wanted, ())) == pytest.approx(5)
    # A second release brings its code alone.
    assert image_pull.missing(wanted, {"base", "packages"}) == 5


def test_what_was_pushed_has_its_own_sizes() -> None:
    manifest = {"layers": [{"size": 45 * image_pull.MEBIBYTE}, {"size": image_pull.MEBIBYTE // 2}]}
    assert image_pull.pushed_layers(manifest, {"rootfs": {"diff_ids": ["base", "code"]}}) == {"base": 45, "code": 0.5}
    # An index of images of several platforms has none of its own.
    assert image_pull.pushed_layers({"manifests": []}, {}) == {}
    assert image_pull.pushed_layers(manifest, {"rootfs": {"diff_ids": ["base"]}}) == {}


@pytest.mark.parametrize(
    ("history", "sizes"),
    [
        # A step without files has no layer.
        ([10, 0, 40, 0], [16.0, 4.0]),
        ([50], [10.0, 10.0]),
    ],
)
def test_layers_are_smaller_on_the_way(history: list[int], sizes: list[float]) -> None:
    found = image_pull.layers(["base", "code"], [size * image_pull.MEBIBYTE for size in history])
    assert found == dict(zip(("base", "code"), sizes, strict=True))

"""What of an image a machine has to fetch. Decisions only.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html (rule E10)
"""

from collections.abc import Collection, Mapping, Sequence

from spotfleet.behaviour.record import Record

# An image's layers are sent compressed, and Docker knows their sizes unpacked. An estimate: of python:3.11-slim, 125 MB
# unpacked are 45 MB compressed, of debian:12-slim 75 are 28.
COMPRESSED_SHARE = 0.4
MEBIBYTE = 1024 * 1024


def layers(digests: Sequence[str], history: Sequence[int]) -> dict[str, float]:
    """Return the estimated compressed MiB of an image's layers by digest.

    `digests` are its layers from the lowest on, `history` the unpacked bytes of its build's steps, the newest first as
    `docker history` has them. A step that changed no file has no layer; if they do not match, all count alike.
    """
    sizes = [size for size in reversed(history) if size]
    if len(sizes) != len(digests):
        sizes = [sum(sizes) // max(1, len(digests))] * len(digests)
    return {digest: COMPRESSED_SHARE * size / MEBIBYTE for digest, size in zip(digests, sizes, strict=True)}


def pushed_layers(manifest: Record, configuration: Record) -> dict[str, float]:
    """Return the compressed MiB of an image's layers by digest, from what was pushed of it; none where they do not fit.

    A manifest has the sizes, the image's configuration the digests by which Docker and `layers` know them.
    https://github.com/opencontainers/image-spec/blob/main/manifest.md
    """
    sizes = [layer["size"] / MEBIBYTE for layer in manifest.get("layers", [])]
    digests = configuration.get("rootfs", {}).get("diff_ids", [])
    return dict(zip(digests, sizes, strict=True)) if len(sizes) == len(digests) else {}


def missing(wanted: Mapping[str, float], present: Collection[str]) -> float:
    """Return the MiB that a machine fetches which has some layers already."""
    return sum(size for digest, size in wanted.items() if digest not in present)

"""Image registries: which one a name means, and whether it can be reached. Needs nothing but Python."""

import threading
import urllib.error
import urllib.request

DOCKER_HUB = "registry-1.docker.io"
DOCKER_HUB_NAMES = ("docker.io", "index.docker.io", DOCKER_HUB)
REGISTRY_SECONDS = 4.0
# What a registry's root answers: yes, or who are you.
REGISTRY_ANSWERS = (200, 401)


def registry_of(name: str) -> str:
    """Return the host, with its port if any, of an image's registry; Docker Hub when the name has none."""
    host = name.partition("/")[0] if "/" in name else ""
    if host in DOCKER_HUB_NAMES:
        return DOCKER_HUB
    return host if "." in host or ":" in host or host == "localhost" else DOCKER_HUB


def registry_answers(host: str) -> bool:
    """Tell within 4 s whether a registry can be reached; a name or certificate that fails counts as no."""
    answered = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"https://{host}/v2/", timeout=REGISTRY_SECONDS) as response:  # https
                status = response.status
        except urllib.error.HTTPError as error:
            status = error.code
        except (OSError, ValueError):
            return
        if status in REGISTRY_ANSWERS:
            answered.set()

    # A thread, because looking up a name knows no time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REGISTRY_SECONDS)
    return answered.is_set()

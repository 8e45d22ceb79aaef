"""The service's image beside the article's, built on the same base: size, time to rebuild, and both on 0.25 core."""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bench.clients import HOST, free_port, wait_until_healthy
from bench.servers import ARTICLE, PROJECT, SPOTFLEET
from spotfleet.image.docker_cli import build, find_docker
from spotfleet.image.image import PLATFORMS, Image, look_at
from spotfleet.local.host import base_image, paths

CPU_SHARE = "0.25"
# What each image is built from, and the file that gets one more line for the rebuild.
CONTEXTS = {
    ARTICLE: (PROJECT / "bench" / "article", ["."], "app.py"),
    SPOTFLEET: (
        PROJECT,
        ["Dockerfile", ".dockerignore", "service", "image", "spotfleet/facts/origins.py"],
        "service/handlers.py",
    ),
}


class Images:
    """Both images, built."""

    def __init__(self) -> None:
        self.docker = find_docker()
        self.base = base_image.choose("dev") or str(paths.setting("dev", "base_image"))
        self.platform = PLATFORMS[str(paths.setting("dev", "cpu_architecture"))]
        self.uris: dict[str, str] = {}
        self.rebuild_seconds: dict[str, float] = {}
        for name, (folder, parts, source) in CONTEXTS.items():
            self.build(name, folder, parts, source)

    def build(self, name: str, folder: Path, parts: list[str], source: str) -> None:
        """Build an image, then again with one more line in `source`; note how long that took."""
        with tempfile.TemporaryDirectory() as copy:
            context = Path(copy)
            for part in parts:
                if (folder / part).is_dir():
                    ignore = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(folder / part, context / part, ignore=ignore, dirs_exist_ok=True)
                else:
                    (context / part).parent.mkdir(exist_ok=True)
                    shutil.copy(folder / part, context / part)
            image = self._look_at(name, context)
            build(self.docker, image, lambda _: None)
            self.uris[name] = image.uri
            with (context / source).open("a") as file:
                file.write(f"# changed at {time.time()}\n")
            start = time.perf_counter()
            image = self._look_at(name, context)
            build(self.docker, image, lambda _: None)
            self.rebuild_seconds[name] = time.perf_counter() - start
            self.command("rmi", image.uri)

    def _look_at(self, name: str, context: Path) -> Image:
        return look_at(f"spotfleet-bench-{name}", self.base, self.platform, context, PROJECT, pull=print)

    def command(self, *arguments: str) -> str:
        """Run a docker command and return its output."""
        return subprocess.run([self.docker, *arguments], capture_output=True, text=True, check=True).stdout

    def size_mb(self, name: str) -> float:
        """Return the size of an image as `docker images` shows it, in MB."""
        return int(self.command("image", "inspect", "--format={{.Size}}", self.uris[name])) / 1e6

    @contextmanager
    def running(self, name: str, core: int) -> Iterator[tuple[int, float]]:
        """Run an image with 0.25 of `core` until the block ends; give its port and how long it took to start, in ms."""
        port = free_port()
        container = f"spotfleet-bench-{name}-{port}"
        settings = {"HOST": HOST, "PORT": port, "LOG_REQUESTS": "false", "DRAIN_SECONDS": "0"}
        variables = [f"--env={key}={value}" for key, value in settings.items()]
        limits = ["--network=host", f"--cpus={CPU_SHARE}", f"--cpuset-cpus={core}", "--memory=256m"]
        self.command("run", "--detach", f"--name={container}", *limits, *variables, self.uris[name])
        try:
            wait_until_healthy(port, lambda: True)
            healthy = time.time()
            state = json.loads(self.command("inspect", "--format={{json .State}}", container))
            # Docker writes nanoseconds, Python reads microseconds.
            started = datetime.fromisoformat(state["StartedAt"][:26].rstrip("Z") + "+00:00")
            yield port, (healthy - started.timestamp()) * 1000
        finally:
            self.command("rm", "--force", "--volumes", container)

    def remove(self) -> None:
        """Remove the images."""
        for uri in self.uris.values():
            self.command("rmi", "--force", uri)

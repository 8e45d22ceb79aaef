"""Finds docker commands, runs them, and asks them about the images that the engine has."""

import json
import os
import re
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sceptre.exceptions import SceptreException

Report = Callable[[str], None]
OUTPUT_SHOWN_ON_FAILURE = 15
NOT_EXECUTABLE = 126
TIMED_OUT = 124
ANSWER_SECONDS = 30.0
NOT_FOUND = "No docker command found: install Docker, then launch again."


@dataclass(frozen=True)
class EngineImage:
    """An image that the engine has: its id there, `name@digest` of each registry it came from, and its platform."""

    id: str
    repository_digests: tuple[str, ...]
    platform: str


def clients() -> Iterator[str]:
    """Yield the path of each docker command in PATH, the first one first."""
    seen = set()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        client = Path(folder or ".", "docker")
        if os.access(client, os.X_OK) and client.is_file() and client.resolve() not in seen:
            seen.add(client.resolve())
            yield str(client)


def output(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of at most 30 s and return what it prints; it need not succeed.

    Bytes that are not UTF-8 are replaced.
    """
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        # An engine that hangs, or one behind a network that drops what is sent there.
        words = f"{' '.join(command[:2])} has not answered for {ANSWER_SECONDS:g} s."
        return subprocess.CompletedProcess(command, TIMED_OUT, "", words)
    except OSError as error:
        # Such as a docker command of another architecture.
        return subprocess.CompletedProcess(command, NOT_EXECUTABLE, "", str(error))


def last_line(text: str) -> str:
    """Return the last line that is not empty."""
    return text.strip().rpartition("\n")[2]


def require_engine(client: str) -> None:
    """Raise SceptreException, with the client's own last words, when no engine answers it."""
    answer = output(client, "version", "--format", "{{.Server.Version}}")
    if answer.returncode != 0:
        words = last_line(answer.stderr)
        raise SceptreException(f"No Docker engine answers: start Docker, then launch again. {words}")


def engine_image(client: str, name: str) -> EngineImage | None:
    """Return the image that the engine has under a name, or None where it has none or does not answer."""
    answer = output(client, "image", "inspect", "--format", "{{json .}}", name)
    if answer.returncode != 0:
        return None
    try:
        found = json.loads(answer.stdout)
        digests = tuple(found.get("RepoDigests") or ())
        return EngineImage(found["Id"], digests, f"{found['Os']}/{found['Architecture']}")
    except (ValueError, KeyError, AttributeError, TypeError):
        return None


def pull(client: str, name: str, platform: str, report: Report) -> str:
    """Pull an image, and return the digest that its registry has for the name: of an index, where there is one.

    Raises SceptreException, after the end of the output has gone to `report`, when the pull fails.
    """
    lines = run([client, "pull", "--platform", platform, name], {}, report, f"Pulling {name} failed")
    digests = [found[1] for line in lines if (found := re.search(r"Digest: (sha256:[0-9a-f]{64})", line))]
    if not digests:
        raise SceptreException(f"{client} pulled {name} but told no digest: it said {lines[-1:]}")
    return digests[-1]


def run(command: list[str], environment: Mapping[str, str], report: Report, failure: str) -> list[str]:
    """Run a command, report the build steps as they begin, and return the end of its output, of either channel.

    Bytes that are not UTF-8 are replaced. Raises SceptreException that begins with `failure` when the command fails,
    after the end of its output has gone to `report`.
    """
    tail: deque[str] = deque(maxlen=OUTPUT_SHOWN_ON_FAILURE)
    with subprocess.Popen(
        command,
        env=os.environ | environment,
        text=True,
        encoding="utf-8",
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        for line in process.stdout or ():
            if line.strip():
                tail.append(line.rstrip())
            if step := re.match(r"#\d+ (\[.*)", line):
                report(step[1])
    if process.returncode != 0:
        # Sceptre prints an exception's line breaks as \n: only the log can show the output as it was.
        for line in tail:
            report(line)
        raise SceptreException(f"{failure}. The end of docker's output is above.")
    return list(tail)

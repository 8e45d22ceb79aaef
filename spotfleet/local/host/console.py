"""What a person sees: lines of progress, a command's output as it comes, and never a long silence."""

import fcntl
import io
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

# Seconds without a line after which one is printed.
QUIET = 4.0
POLL = 0.2


class Failure(Exception):  # noqa: N818  # it is what a command reports, not an error in the code
    """Something that the user can act on; its text is the one line that says what and how."""


def print_anywhere() -> None:
    """Print what the terminal's encoding lacks as question marks, instead of ending with an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Print one line on the standard error output."""
    print(text, file=sys.stderr, flush=True)


Tell = Callable[[str], None]


def run(
    command: Sequence[str],
    activity: str,
    environment: dict[str, str] | None = None,
    tell: Tell = say,
    still: Tell = say,
    folder: Path | None = None,
) -> int:
    """Run a command, telling its output line by line, and return its exit code.

    It runs in `folder`, by default in this process's own. `activity` ("launching dev") is told to `still` with the
    seconds so far whenever the command was silent for 4 s.
    The command gets a process group of its own, so that Ctrl-C ends it and what it started without their tracebacks.
    Raises Failure when the command does not exist.
    """
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise Failure(f"Cannot run {command[0]}: {error.strerror}.") from error
    try:
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        for line in _lines(process.stdout, activity, still):
            tell(line)
        return process.wait()
    except KeyboardInterrupt:
        _end(process)
        raise


def _lines(stdout: IO[str], activity: str, still: Tell) -> Iterator[str]:
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        with stdout:
            for line in stdout:
                lines.put(line.rstrip("\n"))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    started = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=QUIET)
        except queue.Empty:
            still(_still(activity, started))
            continue
        if line is None:
            return
        yield line


def _end(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=5)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def wait_for(condition: Callable[[], bool], activity: str, seconds: float) -> bool:
    """Ask `condition` five times a second until it holds or the time is over, saying so every 4 s.

    Returns whether it held.
    """
    started = last_said = time.monotonic()
    while not condition():
        now = time.monotonic()
        if now - started > seconds:
            return False
        if now - last_said > QUIET:
            say(_still(activity, started))
            last_said = now
        time.sleep(POLL)
    return True


def _still(activity: str, started: float) -> str:
    return f"... still {activity} ({time.monotonic() - started:.0f} s)"


def output(command: Sequence[str], seconds: float = 20) -> str | None:
    """Return what a short command prints, or None when it fails, does not exist or takes too long."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def last_lines(file: Path, count: int = 3) -> str:
    """Return the end of a text file on one line, for an error message."""
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    return " | ".join(line.strip() for line in lines[-count:] if line.strip())


@contextmanager
def only_one(lock_file: Path) -> Iterator[None]:
    """Hold the lock for the block, so that two commands do not launch and delete at once.

    Raises Failure when another process holds it. The system releases it with the process, however that ends.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Failure("Another `spotfleet up` or `down` is running here: wait for it to end.") from error
        yield

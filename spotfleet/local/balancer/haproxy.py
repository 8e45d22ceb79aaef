"""HAProxy's process and its runtime socket: https://docs.haproxy.org/2.6/management.html#9.3."""

import csv
import io
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from spotfleet.local.balancer import haproxy_answers, haproxy_syntax
from spotfleet.local.balancer.haproxy_syntax import Command
from spotfleet.local.host import console, packages, paths
from spotfleet.local.host.console import Failure

START_SECONDS = 10
STOP_SECONDS = 5
ANSWER_SECONDS = 5
RECEIVE = 65536
POLL = 0.05
SOCKET = "haproxy.sock"
CERTIFICATE_DAYS = "3650"


class Refused(Exception):  # noqa: N818  # HAProxy's answer, in its own words
    """HAProxy refuses a configuration or a command."""


class Process:
    """One HAProxy: a master, which lives on, and a worker for each configuration."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or paths.state_folder()
        self.socket = self._folder / SOCKET
        self.configuration = self._folder / "haproxy.cfg"
        self.log = self._folder / "haproxy.log"
        self._pid_file = self._folder / "haproxy.pid"
        self._compiles: dict[str, bool] = {}

    def runs_with(self) -> str | None:
        """Return the description of the configuration that runs, or None when none does."""
        try:
            answer = self.command(haproxy_syntax.command("show", "info"))
        except OSError:
            return None
        found = [line.partition(": ")[2] for line in answer.splitlines() if line.startswith("description: ")]
        return found[0].strip() if found else ""

    def run(self, configuration: str, description: str) -> None:
        """Run a configuration: in a new worker, which takes over the ports, or in a new process where none runs.

        Raises Refused when HAProxy cannot use it; what ran before then runs on.
        """
        candidate = self.configuration.with_suffix(".new")
        _write_private(candidate, configuration)
        if refusal := self._refusal(candidate):
            raise Refused(f"HAProxy refuses {candidate}: {refusal}")
        candidate.replace(self.configuration)
        pid = self._pid()
        if pid:
            os.kill(pid, signal.SIGUSR2)
        else:
            self._start()

        def runs() -> bool:
            # While the master starts, or starts itself again, the file of its number is empty for a moment.
            return self.runs_with() == description and self._pid() is not None

        def ended() -> bool:
            return pid is not None and not _is_haproxy(pid)

        if not _wait(lambda: runs() or ended(), START_SECONDS) or not runs():
            raise Refused(f"HAProxy did not take its configuration: {console.last_lines(self.log)}")

    def _refusal(self, file: Path) -> str:
        """Return why HAProxy cannot use a configuration, nothing when it can."""
        check = subprocess.run(
            [*self._haproxy(), "-c", "-f", str(file)], capture_output=True, text=True, errors="replace", check=False
        )
        if check.returncode == 0:
            return ""
        return next((line for line in check.stderr.splitlines() if "[ALERT]" in line), check.stderr.strip())

    def compiles(self, expression: str) -> bool:
        """Return whether HAProxy takes a text as a regular expression; an answer is remembered."""
        if expression not in self._compiles:
            probe = self.configuration.with_suffix(".probe")
            lines = [
                haproxy_syntax.section("frontend", "probe"),
                # Never listened on: HAProxy only reads this. Without it there would be nothing to run.
                haproxy_syntax.line("bind", "127.0.0.1:1"),
                haproxy_syntax.line("mode", "http"),
                haproxy_syntax.line("acl", "probe", "path", "-m", "reg", "--", expression),
            ]
            _write_private(probe, "\n".join([*lines, ""]))
            self._compiles[expression] = not self._refusal(probe)
            probe.unlink()
        return self._compiles[expression]

    def _start(self) -> None:
        """Start the master, which goes into the background once its first worker listens."""
        command = [*self._haproxy(), "-W", "-D", "-p", str(self._pid_file), "-f", str(self.configuration)]
        with open(self.log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
            started = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False, umask=0o077
            )
        if started.returncode != 0:
            raise Refused(f"HAProxy did not start: {console.last_lines(self.log)}")

    def _haproxy(self) -> list[str]:
        """Return the command, which works in the folder of its socket: a socket's path has 97 characters at most."""
        found = packages.find("haproxy")
        if not found:
            raise Refused(
                "HAProxy, which is the load balancer, is not installed any more: spotfleet up installs it, or says how."
            )
        return [found, "-C", str(self._folder)]

    def stop(self) -> bool:
        """End HAProxy at once; return whether it ran."""
        pid = self._pid()
        self._pid_file.unlink(missing_ok=True)
        if not pid:
            return False
        os.kill(pid, signal.SIGTERM)
        if not _wait(lambda: not _is_haproxy(pid), STOP_SECONDS):
            os.kill(pid, signal.SIGKILL)
        self.socket.unlink(missing_ok=True)
        return True

    def _pid(self) -> int | None:
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if _is_haproxy(pid) else None

    def command(self, *commands: Command) -> str:
        """Return what HAProxy answers to commands on its socket.

        Raises OSError when no HAProxy listens there.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            self._connect(connection)
            connection.sendall(("; ".join(commands) + "\n").encode())
            return b"".join(iter(lambda: connection.recv(RECEIVE), b"")).decode(errors="replace")

    def _connect(self, connection: socket.socket) -> None:
        """Connect by way of the open folder, since its own path may be too long for a socket's."""
        folder = os.open(self._folder, os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{SOCKET}")
        finally:
            os.close(folder)

    def statistics(self) -> Iterator[dict[str, str]]:
        """Yield the line of every frontend, backend and server, by the names of its columns."""
        text = self.command(haproxy_syntax.command("show", "stat")).removeprefix("# ")
        return csv.DictReader(io.StringIO(text.strip()))

    def own_answers(self, statistics: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, int, int]]:
        """Yield what the frontends of these statistics answer by themselves: name, code and number."""
        frontends = [line["pxname"] for line in statistics if line["svname"] == "FRONTEND"]
        wanted = [(name, code) for name in frontends for code in haproxy_answers.CODES]
        asked = [haproxy_syntax.command("get", "var", haproxy_answers.counter(*one)) for one in wanted]
        held = dict(re.findall(r"^(\S+): type=sint value=<(\d+)>$", self.command(*asked), re.MULTILINE))
        for name, code in wanted:
            yield name, code, int(held.get(haproxy_answers.counter(name, code), 0))

    def certificate(self) -> Path:
        """Return a certificate with its key for HTTPS listeners, self-signed for localhost.

        Raises Refused where there is no openssl to make it with.
        """
        file = self._folder / "balancer.pem"
        if not file.exists():
            command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            command += ["-days", CERTIFICATE_DAYS, "-subj", "/CN=localhost"]
            command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "-", "-out", "-"]
            made = console.output(command)
            if not made:
                raise Refused("An HTTPS listener needs a certificate: install openssl, which makes it.")
            _write_private(file, made + "\n")
        return file


def _write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    file.unlink(missing_ok=True)
    with open(file, "x", opener=lambda path, flags: os.open(path, flags, 0o600), encoding="utf-8") as opened:
        opened.write(text)


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(POLL)
    return holds


def _is_haproxy(pid: int) -> bool:
    """Return whether the process still is ours: numbers of ended processes are used again."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    # Empty for a moment while the master starts itself again for a new configuration.
    return state != "Z" and (b"haproxy" in command or not command)


def gets_requests(line: Mapping[str, str]) -> bool:
    """Tell of a server's line of the statistics whether new requests are sent there."""
    return bool(line["addr"]) and line["status"].startswith("UP") and line["uweight"] != "0"


def ensure_installed() -> None:
    """Make sure that there is an HAProxy with Lua; raises Failure with what to do where we may not install it."""
    packages.ensure("haproxy", "HAProxy (the load balancer)")
    found = packages.find("haproxy")
    if found and "-LUA" in (console.output([found, "-vv"]) or "").split():
        raise Failure(
            f"{found} is built without Lua, which answers for targets that fail: install your system's HAProxy."
        )

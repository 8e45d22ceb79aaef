"""Which setting a container lacks that ended, read from its own last lines and its exit code.

What programs print where they may not write, change their user or listen is the same in every place: errno's words, put
into a sentence by each. The messages in tests/spotfleet/stacks/test_container_ends.py are what this was written for.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath

# Stop codes of tasks that something else than their containers has ended: a person, Spot, the end of the machine.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
FROM_OUTSIDE = {"UserInitiated", "SpotInterruption", "TerminationNotice", "InfrastructureHealth"}
BY_SCHEDULER = "ServiceSchedulerInitiated"
# Exit codes of a shell, and of Docker, for a command that cannot be run or found.
NOT_EXECUTABLE, NOT_FOUND = 126, 127
# What says nothing of an end: what an image's entry point passes over, and requests.
OTHER_LINES = re.compile(r"\b(info|debug|notice)\b:?|\b(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) ", re.IGNORECASE)

PATH = r"""["'`(]?(?P<path>/[^\s"'`():,;]+)"""
READ_ONLY = re.compile(r"read-only file ?system|EROFS|readonly database", re.IGNORECASE)
DENIED = re.compile(r"permission denied|EACCES|AccessDenied|is not writable|exists and is writable", re.IGNORECASE)
NOT_PERMITTED = re.compile(r"operation not permitted|EPERM", re.IGNORECASE)
BINDING = re.compile(
    r"bind|make_sock|listen|address \[|\('(0\.0\.0\.0|::|)', \d+|Failed to start .*Connector", re.IGNORECASE
)
PORT = re.compile(r"(?:[\]:'\"\d]:|port[ :(s)]*|', )(?P<port>\d{1,5})\b")
# What says in a line that a folder is made, so that the path is the folder's own.
MAKES_FOLDER = re.compile(r"mkdir|create directory|dir_s_mkdir|create_?dir|tempDir", re.IGNORECASE)
# Folders that images write to, with nothing of the image in them that is needed.
SCRATCH = ("/tmp", "/var/tmp", "/run", "/var/run", "/var/cache/nginx", "/var/log/nginx", "/usr/local/apache2/logs")  # noqa: S108
NO_TEMPORARY = re.compile(r"no usable temporary directory|could not find a temporary directory|java\.io\.tmpdir", re.I)
LISTENS = re.compile(
    r"(?:listening|running|started|ready|serving|server|available|bound|accepting)\b.*?"
    r"(?:(?P<host>localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]*\]|\*|\s):|ports?(?:\(s\))?:? ?)(?P<port>\d{2,5})\b",
    re.IGNORECASE,
)


def was_ended_from_outside(stop_code: str, reason: str) -> bool:
    """Return whether a task's end says nothing of its containers, by its stop code and stopped reason.

    ECS's scheduler stops tasks that fail their health checks, and others because it wants fewer, drains a machine or
    balances the zones.
    """
    return stop_code in FROM_OUTSIDE or (stop_code == BY_SCHEDULER and "health" not in reason.lower())


def setting_that_lacks(log: list[str], exit_code: int | None) -> str | None:
    """Return a sentence that names the setting which a container needs, or None where its end says nothing of one.

    `log` has its last lines, the oldest first; also Docker's own words, where a container could not be started.
    """
    for line in reversed(log):
        if not OTHER_LINES.search(line):
            for rule in RULES:
                if sentence := rule(line):
                    return sentence
    if exit_code in {NOT_EXECUTABLE, NOT_FOUND}:
        return f"its command cannot be run (exit code {exit_code}): see the settings command and entry_point"
    return None


def other_port(log: list[str], container_port: int) -> str | None:
    """Return a sentence where a container says that it listens elsewhere than at the port that it is asked at."""
    found = [match for line in log if (match := LISTENS.search(line))]
    ports = {int(match["port"]) for match in found}
    if ports and container_port not in ports:
        listens = ", ".join(map(str, sorted(ports)))
        return f"it listens on port {listens} and is asked at {container_port}: set container_port"
    if found and all(match["host"] in {"127.0.0.1", "localhost", "[::1]"} for match in found):
        return (
            f"it listens on {found[-1]['host']}, where only the container itself reaches it: let it listen on 0.0.0.0, "
            "by its command or environment_variables"
        )
    return None


def _other_architecture(line: str) -> str | None:
    if "exec format error" in line.lower():
        return (
            "its image is for another processor (exec format error): set cpu_architecture and instance_types, or take "
            "an image for them"
        )
    return None


def _no_such_user(line: str) -> str | None:
    found = re.search(
        r"unable to find (?:user|group) (?P<named>\S+?):|look up effective user ID (?P<id>\d+)|"
        r"(?P<root>\"root\" execution|running as root|must not be run as root|cannot be run as root)",
        line,
        re.IGNORECASE,
    )
    if not found:
        return None
    if found["root"]:
        return "it refuses to run as root: set user to a number that the image has, such as 1000"
    who = found["named"] or found["id"]
    return f"the image has no user {who}: set user to one of its own, or to '' for that of the image"


def _memory(line: str) -> str | None:
    if re.search(r"OutOfMemoryError|heap out of memory|^MemoryError|insufficient memory|Cannot allocate memory", line):
        return "its memory is out: set task_memory_mib higher"
    return None


def _open_files(line: str) -> str | None:
    if re.search(r"too many open files|EMFILE", line, re.IGNORECASE):
        return "it has as many files open as it may: set open_files_limit, such as 65536"
    return None


def _no_space(line: str) -> str | None:
    if not re.search(r"no space left on device|ENOSPC", line, re.IGNORECASE):
        return None
    if re.search(r"dev/shm|shared memory", line):
        return "its shared memory is full: set shared_memory_mib, such as 256"
    if path := _path(line):
        return f"there is no space left for {path}: give its folder more MiB in writable_folders"
    return None


def _shared_memory(line: str) -> str | None:
    if re.search(r"(shm_open|shmget|shared memory).*(fail|error)|DevToolsActivePort", line, re.IGNORECASE):
        return "it needs more shared memory: set shared_memory_mib, such as 1024 for a browser"
    return None


def _temporary_folder(line: str) -> str | None:
    if NO_TEMPORARY.search(line):
        return "it has no folder for temporary files: set writable_folders, such as {/tmp: 64}"
    return None


def _port(line: str) -> str | None:
    if not (DENIED.search(line) and BINDING.search(line)):
        return None
    found = PORT.search(line)
    port = f"port {found['port']}" if found else "its port"
    return (
        f"it may not listen on {port}: let it listen above 1023 and set container_port, or add NET_BIND_SERVICE to "
        "capabilities and set user to ''"
    )


def _change_of_user(line: str) -> str | None:
    if not NOT_PERMITTED.search(line):
        return None
    if re.search(r"chown|ownership", line, re.IGNORECASE):
        needed = "CHOWN"
    elif re.search(r"chmod|changing? permissions|utime", line, re.IGNORECASE):
        needed = "FOWNER"
    elif re.search(
        r"set(res|re|e)?[ug]id|initgroups|setgroups|switch|su-exec|gosu|setpriv|group id|to uid", line, re.I
    ):
        needed = "SETGID, SETUID"
    else:
        return None
    return (
        f"it changes its user or the owner of files, and may not: add {needed} to capabilities with user '', or set "
        "user to the one that it would change to"
    )


def _files(line: str) -> str | None:
    if READ_ONLY.search(line):
        return _to_write(line, "is on the read-only file system")
    path = _path(line)
    if path and DENIED.search(line) and not re.search(r"\bexec\b", line):
        return (
            f"its user may not use {path}: set user to '' for the image's own, or to the number that owns it; or name "
            f"a folder that it only writes to in writable_folders, such as {{{_folder(line, path)}: 64}}"
        )
    return None


def _to_write(line: str, why: str) -> str:
    path = _path(line)
    if path is None:
        return f"what it writes to {why}: name the folder in writable_folders, or set read_only to false"
    folder = _folder(line, path)
    if folder.count("/") == 1 and folder not in SCRATCH and not MAKES_FOLDER.search(line):
        # A folder of memory in its place would hide the program.
        return f"{path} {why}: set read_only to false, or let it write below /tmp with writable_folders {{/tmp: 64}}"
    return f"{path} {why}: set writable_folders, such as {{{folder}: 64}}, or read_only to false"


def _command(line: str) -> str | None:
    found = re.search(
        r"exec: \"(?P<docker>[^\"]+)\"|exec (?P<init>\S+?)(?: failed)?: (?:no such file|permission denied)|"
        r"^(?:/bin/)?(?:ba|da)?sh: (?:(?:line )?\d+: )?(?P<shell>\S+?): not found|"
        r"(?P<npm>npm (?:ERR!|error) Missing script)",
        line,
        re.IGNORECASE,
    )
    if not found:
        return None
    what = found["docker"] or found["init"] or found["shell"] or "the script that npm is told to run"
    return f"{what} is not in the image, or not a program: correct command or entry_point"


def _variable(line: str) -> str | None:
    found = re.search(
        r"^KeyError: '(?P<key>[A-Z][A-Z0-9_]{2,})'|The (?P<django>[A-Z][A-Z0-9_]+) setting must not be empty|"
        r"Missing `(?P<rails>secret_key_base)`|"
        r"(?:environment variable|env var) [\"'`]?(?P<named>[A-Z][A-Z0-9_]{2,})[\"'`]? "
        r"(?:is )?(?:not set|required|missing)|"
        r"Could not resolve placeholder '(?P<spring>[^']+)'",
        line,
        re.IGNORECASE,
    )
    if not found:
        return None
    name = next(text for text in found.groups() if text)
    name = "SECRET_KEY_BASE" if name == "secret_key_base" else name
    return f"it asks for {name}: give it in environment_variables, or in secrets if nobody else may know it"


# The first that knows a line names the setting.
RULES: tuple[Callable[[str], str | None], ...] = (
    *(_other_architecture, _no_such_user, _memory, _open_files, _no_space, _temporary_folder, _port, _change_of_user),
    *(_command, _files, _shared_memory, _variable),
)


def _path(line: str) -> str | None:
    """Return the path that a line is about: the last one that is not a program's own source."""
    found = [match["path"].rstrip(".") for match in re.finditer(PATH, line)]
    paths = [path for path in found if not path.startswith("//") and not path.endswith((".js", ".py", ".rb", ".java"))]
    return paths[-1] if paths else None


def _folder(line: str, path: str) -> str:
    """Return the folder that has to be writable for a path."""
    for folder in sorted(SCRATCH, key=len, reverse=True):
        if path == folder or path.startswith(f"{folder}/"):
            return folder
    return path if MAKES_FOLDER.search(line) else str(PurePosixPath(path).parent)

"""What real programs print when they lack a setting, and the setting that is named for it."""

import pytest

from spotfleet.stacks.container_ends import other_port, setting_that_lacks

# The last lines of a container, its exit code, and what the sentence must hold.
ENDS: list[tuple[str, int | None, list[str]]] = [
    # nginx
    (
        'nginx: [emerg] mkdir() "/var/cache/nginx/client_temp" failed (30: Read-only file system)',
        1,
        ["writable_folders", "{/var/cache/nginx: 64}"],
    ),
    (
        "/docker-entrypoint.sh: Configuration complete; ready for start up\n"
        '2024/05/14 09:12:01 [emerg] 1#1: open() "/run/nginx.pid" failed (30: Read-only file system)',
        1,
        ["/run/nginx.pid is on the read-only file system", "writable_folders, such as {/run: 64}"],
    ),
    (
        'nginx: [emerg] mkdir() "/var/cache/nginx/client_temp" failed (13: Permission denied)',
        1,
        ["may not use /var/cache/nginx/client_temp", "set user to ''", "{/var/cache/nginx: 64}"],
    ),
    (
        '[emerg] 1#1: chown("/var/cache/nginx/client_temp", 101) failed (1: Operation not permitted)',
        1,
        ["CHOWN", "capabilities", "user ''"],
    ),
    ("2024/05/14 09:12:01 [emerg] 22#22: setgid(101) failed (1: Operation not permitted)", 2, ["SETGID, SETUID"]),
    ("[emerg] 30#30: initgroups(nginx, 101) failed (1: Operation not permitted)", 2, ["SETGID, SETUID"]),
    ("nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)", 1, ["port 80", "container_port"]),
    (
        '[alert] could not open error log file: open() "/var/log/nginx/error.log" failed (30: Read-only file system)',
        1,
        ["{/var/log/nginx: 64}"],
    ),
    # Apache
    (
        "(13)Permission denied: AH00072: make_sock: could not bind to address [::]:80\nno listening sockets available",
        1,
        ["port 80", "NET_BIND_SERVICE"],
    ),
    (
        "(30)Read-only file system: AH00099: could not create /usr/local/apache2/logs/httpd.pid.tmp1\n"
        "AH00100: httpd: could not log pid to file /usr/local/apache2/logs/httpd.pid",
        1,
        ["{/usr/local/apache2/logs: 64}"],
    ),
    (
        "[unixd:alert] [pid 9:tid 1] (1)Operation not permitted: AH02156: setgid: unable to set group id to Group 33",
        1,
        ["SETGID, SETUID"],
    ),
    ("mkdir: cannot create directory '/var/run/apache2': Read-only file system", 1, ["{/var/run: 64}"]),
    # Python
    (
        "FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp', '/var/tmp', '/usr/tmp', '/app']",
        1,
        ["writable_folders", "{/tmp: 64}"],
    ),
    (
        'Traceback (most recent call last):\n  File "/app/main.py", line 3, in <module>\n'
        "OSError: [Errno 30] Read-only file system: '/app/.cache/models/index'",
        1,
        ["writable_folders, such as {/app/.cache/models: 64}"],
    ),
    ("OSError: [Errno 30] Read-only file system: '/app/db.sqlite3'", 1, ["read_only to false", "{/tmp: 64}"]),
    ("PermissionError: [Errno 13] Permission denied: '/app/logs/app.log'", 1, ["set user to ''", "{/app/logs: 64}"]),
    ("PermissionError: [Errno 13] Permission denied: ('0.0.0.0', 80)", 1, ["port 80", "container_port"]),
    ("KeyError: 'DATABASE_URL'", 3, ["DATABASE_URL", "environment_variables", "secrets"]),
    (
        "django.core.exceptions.ImproperlyConfigured: The SECRET_KEY setting must not be empty.",
        1,
        ["SECRET_KEY", "secrets"],
    ),
    ("sqlite3.OperationalError: attempt to write a readonly database", 1, ["writable_folders", "read_only"]),
    # Node
    ("Error: EROFS: read-only file system, mkdir '/app/.next/cache'", 1, ["{/app/.next/cache: 64}"]),
    (
        "npm ERR! code EROFS\nnpm ERR! errno -30\nnpm ERR! EROFS: read-only file system, mkdir '/root/.npm/_cacache'",
        226,
        ["{/root/.npm/_cacache: 64}"],
    ),
    ("Error: EACCES: permission denied, open '/home/node/app/data/db.json'", 1, ["set user to ''"]),
    ("Error: listen EACCES: permission denied 0.0.0.0:80", 1, ["port 80", "container_port"]),
    ("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", 134, ["task_memory_mib"]),
    ("Error: EMFILE: too many open files, watch '/app'", 1, ["open_files_limit"]),
    ('npm error Missing script: "start:prod"', 1, ["command"]),
    # Ruby
    ("Errno::EROFS: Read-only file system @ dir_s_mkdir - /rails/tmp/pids", 1, ["{/rails/tmp/pids: 64}"]),
    ("Permission denied @ rb_sysopen - /rails/log/production.log (Errno::EACCES)", 1, ["{/rails/log: 64}"]),
    (
        "Rails Error: Unable to access log file. Please ensure that /rails/log/production.log exists and is writable "
        "(ie, make it writable for user and group: chmod 0664 /rails/log/production.log).",
        1,
        ["/rails/log/production.log", "{/rails/log: 64}"],
    ),
    ("could not find a temporary directory (ArgumentError)", 1, ["{/tmp: 64}"]),
    ("ArgumentError: Missing `secret_key_base` for 'production' environment", 1, ["SECRET_KEY_BASE", "secrets"]),
    # Java
    (
        "org.springframework.boot.web.server.WebServerException: Unable to create tempDir. java.io.tmpdir is /tmp",
        1,
        ["{/tmp: 64}"],
    ),
    ("java.nio.file.FileSystemException: /tmp/tomcat.8080.4711: Read-only file system", 1, ["{/tmp: 64}"]),
    ("java.nio.file.AccessDeniedException: /opt/app/logs/app.log", 1, ["{/opt/app/logs: 64}"]),
    ("Exception in thread main java.lang.OutOfMemoryError: Java heap space", 1, ["task_memory_mib"]),
    (
        "Could not resolve placeholder 'DB_HOST' in value \"jdbc:postgresql://${DB_HOST}/shop\"",
        1,
        ["DB_HOST", "environment_variables"],
    ),
    # PostgreSQL
    ("chmod: changing permissions of '/var/lib/postgresql/data': Operation not permitted", 1, ["FOWNER"]),
    ("chown: changing ownership of '/var/lib/postgresql/data': Operation not permitted", 1, ["CHOWN"]),
    ("mkdir: cannot create directory '/var/lib/postgresql': Permission denied", 1, ["{/var/lib/postgresql: 64}"]),
    ('error: failed switching to "postgres": operation not permitted', 1, ["SETGID, SETUID"]),
    ('"root" execution of the PostgreSQL server is not permitted.', 1, ["refuses to run as root", "set user"]),
    (
        "initdb: error: could not look up effective user ID 65532: user does not exist",
        1,
        ["the image has no user 65532", "user"],
    ),
    (
        'FATAL:  could not create lock file "/var/run/postgresql/.s.PGSQL.5432.lock": Read-only file system',
        1,
        ["{/var/run: 64}"],
    ),
    (
        'FATAL:  could not resize shared memory segment "/PostgreSQL.27" to 8388608 bytes: No space left on device',
        1,
        ["shared_memory_mib"],
    ),
    # Redis
    ("chown: .: Operation not permitted", 1, ["CHOWN"]),
    ("su-exec: setgroups(999): Operation not permitted", 1, ["SETGID, SETUID"]),
    ("1:M 14 May 2024 # Can't open or create append-only dir appendonlydir: Read-only file system", 1, ["read_only"]),
    ("*** FATAL CONFIG FILE ERROR ***\nCan't chdir to '/data': Permission denied", 1, ["/data", "user"]),
    # Docker, its init process, and shells
    ("exec /app/server: exec format error", 1, ["cpu_architecture"]),
    ("standard_init_linux.go:228: exec user process caused: exec format error", 1, ["cpu_architecture"]),
    (
        'OCI runtime create failed: exec: "gunicorn": executable file not found in $PATH: unknown',
        127,
        ["gunicorn is not in the image", "command", "entry_point"],
    ),
    ("[FATAL tini (7)] exec /app/run.sh failed: No such file or directory", 127, ["/app/run.sh", "command"]),
    ("[FATAL tini (7)] exec /app/run.sh failed: Permission denied", 126, ["/app/run.sh", "entry_point"]),
    ("exec /entrypoint.sh: no such file or directory", 1, ["/entrypoint.sh", "entry_point"]),
    ("/bin/sh: 1: bundle: not found", 127, ["bundle is not in the image"]),
    ("", 127, ["command and entry_point"]),
    ("unable to find user app: no matching entries in passwd file", 125, ["has no user app", "set user"]),
]


@pytest.mark.parametrize(("log", "exit_code", "words"), ENDS)
def test_the_setting_is_named(log: str, exit_code: int | None, words: list[str]) -> None:
    sentence = setting_that_lacks(log.splitlines(), exit_code)
    assert sentence is not None
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(
    ("log", "exit_code"),
    [
        ("", 0),
        ("", 1),
        ("", 137),
        ("ModuleNotFoundError: No module named 'flask'", 1),
        ("SyntaxError: Unexpected token '}'", 1),
        ("panic: runtime error: index out of range [3] with length 3", 2),
        ("django.db.utils.OperationalError: connection to server at 10.0.0.5, port 5432 failed: timeout expired", 1),
        (
            "10-listen-on-ipv6-by-default.sh: info: can not modify /etc/nginx/x.conf (read-only file system?)",
            0,
        ),
        ('10.0.0.9 - - "GET /login HTTP/1.1" 403 permission denied', 0),
    ],
)
def test_other_ends_name_no_setting(log: str, exit_code: int) -> None:
    assert setting_that_lacks(log.splitlines(), exit_code) is None


def test_the_last_cause_counts() -> None:
    log = ["OSError: [Errno 30] Read-only file system: '/var/tmp/a'", "trying /tmp", "KeyError: 'TOKEN'"]
    assert "TOKEN" in str(setting_that_lacks(log, 1))


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("[2024-05-14 09:12:01 +0000] [7] [INFO] Listening at: http://0.0.0.0:8000 (7)", 8000),
        ("INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)", 8000),
        ("Tomcat started on port(s): 8080 (http) with context path ''", 8080),
        ("Tomcat started on port 8080 (http) with context path '/'", 8080),
        ("* Listening on http://0.0.0.0:3000", 3000),
        ("Server listening on port 3000", 3000),
        ("Now listening on: http://[::]:8080", 8080),
        ("  ▲ Next.js ready on http://0.0.0.0:3000", 3000),
        ("Example app listening at http://localhost:3000", 3000),
        (" * Running on all addresses (0.0.0.0)\n * Running on http://127.0.0.1:5000", 5000),
    ],
)
def test_a_port_that_nobody_asks_at_is_named(line: str, port: int) -> None:
    sentence = other_port(line.splitlines(), 9999)
    assert sentence == f"it listens on port {port} and is asked at 9999: set container_port"


def test_a_port_that_is_asked_at_is_no_cause() -> None:
    assert other_port(["Listening at: http://0.0.0.0:8000 (7)"], 8000) is None
    assert other_port(["Connecting to database on port 5432"], 8000) is None
    assert other_port([], 8000) is None


def test_one_that_listens_to_itself_only_is_told() -> None:
    sentence = other_port(["[INFO] Listening at: http://127.0.0.1:8000 (7)"], 8000)
    assert sentence is not None
    assert "listens on 127.0.0.1, where only the container itself reaches it" in sentence

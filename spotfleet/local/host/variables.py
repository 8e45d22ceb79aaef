"""Which environment variables reach what we start: ours, the user's choice of an engine, never a way to another AWS.

A shell holds much that its user has set for other work: profiles, endpoints, tokens, contexts. AWS's clients, Docker's
and Python read families of variables; of each only what is named here passes. All else passes to Sceptre, because a
configuration may read any variable, and nothing else to the embedded AWS.
"""

import os
from collections.abc import Mapping

from spotfleet.local.host import aws_profiles, keys, paths
from spotfleet.stacks import account

# Families of variables that what we start would act on.
FAMILIES = ("AWS_", "BOTO", "DOCKER_", "BUILDKIT_", "BUILDX_", "COMPOSE_", "PYTHON", "SCEPTRE_")
# Which engine the user works with. https://docs.docker.com/reference/cli/docker/#environment-variables
DOCKER = {"DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "BUILDX_BUILDER"}
# What every program needs, the sockets of a rootless engine and of one behind ssh, and this project's own.
OF_EVERY_PROGRAM = {
    *(
        "HOME",
        "LANG",
        "LANGUAGE",
        "LOGNAME",
        "PATH",
        "SSH_AUTH_SOCK",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TERM",
        "TMPDIR",
    ),
    *("TZ", "USER", "VIRTUAL_ENV", "XDG_RUNTIME_DIR"),
}
OWN_FAMILIES = ("LC_", "LOCAL_")


def enter() -> dict[str, str]:
    """Make the variables of this process those of a program that uses the embedded AWS; return what they were.

    Raises Failure when the port of the embedded AWS is none.
    """
    before = dict(os.environ)
    inside = for_sceptre(before)
    os.environ.clear()
    os.environ.update(inside)
    return before


def for_sceptre(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables for a command that shall use the embedded AWS, and can reach no other one."""
    kept = {name: value for name, value in environ.items() if name in DOCKER or not name.startswith(FAMILIES)}
    return kept | for_clients(environ)


def for_server(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables for the embedded AWS itself: MiniStack reads many names, some of them common words."""
    allowed = OF_EVERY_PROGRAM | DOCKER
    kept = {name: value for name, value in environ.items() if name in allowed or name.startswith(OWN_FAMILIES)}
    return kept | for_clients(environ)


def for_clients(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that lead every AWS client to the embedded AWS, and to nothing else."""
    no_proxy = [environ.get("NO_PROXY") or environ.get("no_proxy") or "", "127.0.0.1", "localhost"]
    loopback = ",".join(dict.fromkeys(host for entry in no_proxy for host in entry.split(",") if host))
    # Without a key there is nobody to ask.
    access = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": keys.read() or "none"}
    return {
        "AWS_ENDPOINT_URL": paths.endpoint(),
        # The hooks act nowhere else then, whatever else leads there.
        account.EMBEDDED_ONLY: paths.endpoint(),
        **access,
        "AWS_CONFIG_FILE": aws_profiles.write(paths.state_folder(), paths.ROOT / "config", access),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": loopback,
        "no_proxy": loopback,
    }

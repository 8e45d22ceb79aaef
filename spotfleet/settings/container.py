"""The settings of a service's container: what it is made of, what is started in it, and what it may do."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from spotfleet.facts import aws_names
from spotfleet.settings import shown
from spotfleet.settings.section import Port, Section, require

# What Docker gives a container that asks for nothing, and a task definition drops here.
# https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
Capability = Literal[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
]
# A file or folder of the project: nothing outside of it, and no name that a command could take for an option.
PATH_IN_PROJECT = r"\.?\w[\w.-]*(/\.?\w[\w.-]*)*"
USER = r"([a-z_][a-z0-9_-]*|[0-9]{1,10})(:([a-z_][a-z0-9_-]*|[0-9]{1,10}))?"
FOLDER = re.compile(r"(/[A-Za-z0-9._@+-]+)+")
# What Docker mounts itself, and what no image can do without: an empty folder would stand in its place.
NO_FOLDERS = re.compile(r"/(dev|proc|sys)(/.*)?|/(bin|etc|lib|lib64|sbin|usr)|/usr/(bin|lib|sbin)")
SHELL_OPERATORS = {"&&", "||", ";", "|", ">", ">>", "<", "2>&1"}


class ContainerSettings(Section):
    """A service's container."""

    image: str = Field(
        default="",
        max_length=512,
        pattern=f"^({aws_names.IMAGE})?$",
        description="existing image by its tag or digest, such as public.ecr.aws/nginx/nginx:1.27, of which a launch "
        "takes the digest; then nothing is built",
    )
    base_image: str = Field(
        max_length=512, pattern=f"^{aws_names.IMAGE}$", description="Python image that the service image is built on"
    )
    build_context: str = Field(
        default=".",
        pattern=r"^(\.|[\w-][\w.-]*(/[\w-][\w.-]*)*)$",
        description="folder of the project that holds the Dockerfile and what it copies, such as services/api",
    )
    dockerfile: str = Field(
        default="Dockerfile",
        pattern=f"^{PATH_IN_PROJECT}$",
        description="path of the Dockerfile in that folder, such as docker/api.Dockerfile",
    )
    build_target: str = Field(
        default="", pattern=r"^([A-Za-z][\w.-]*)?$", description="stage of the Dockerfile to build; '': the last one"
    )
    build_arguments: dict[str, str] = Field(
        default={},
        description="values of the Dockerfile's ARGs, such as {VARIANT: slim}; nothing secret, as the image's history "
        "has them",
    )
    command: list[str] = Field(
        default=[], description="words of the command in the place of the image's, such as [gunicorn, app:app]"
    )
    entry_point: list[str] = Field(
        default=[], description="words of the entry point in the place of the image's, whose command goes with it"
    )
    container_port: Port = Field(
        default=5000, description="port that the container listens on; it is told in the variable PORT"
    )
    environment_variables: dict[str, str] = Field(
        default={}, description="variables of the containers, such as {LOG_LEVEL: info}; nothing secret"
    )
    environment_file: str = Field(
        default="",
        pattern=f"^({PATH_IN_PROJECT})?$",
        description="file of the project with lines such as LOG_LEVEL=info, as `docker run --env-file` reads them; "
        "environment_variables come before it; nothing secret",
    )
    user: str = Field(
        default="65532:65532",
        pattern=f"^({USER})?$",
        description="user of the container, by number or name, and group, such as 1000:1000; '': the image's own, "
        "which is often root",
    )
    read_only: bool = Field(default=True, description="whether the root file system is read-only")
    writable_folders: dict[str, Annotated[int, Field(ge=1, le=122_880)]] = Field(
        default={},
        description="folders that are empty at the start and kept in the task's memory, by their largest size in MiB, "
        "such as {/tmp: 64}; any user may write to them",
    )
    capabilities: list[Capability] = Field(
        default=[],
        description="rights of root that the container keeps, such as [CHOWN, SETGID, SETUID], with which an image "
        "that starts as root changes to a user of its own; all others are dropped",
    )
    shared_memory_mib: int = Field(
        default=0,
        ge=0,
        le=122_880,
        description="size of /dev/shm, of the task's memory, such as 1024 for a browser; 0: Docker's 64",
    )
    open_files_limit: int = Field(
        default=0, ge=0, le=1_048_576, description="files and connections that may be open; 0: as Docker has it"
    )

    @field_validator("image")
    @classmethod
    def _check_image(cls, name: str) -> str:
        require(
            not name or "@" in name or ":" in name.rpartition("/")[2],
            "must end in a tag or a digest, such as :1.27, as what it means without one is up to chance",
        )
        return name

    @field_validator("environment_variables", "build_arguments")
    @classmethod
    def _check_names(cls, variables: dict[str, str]) -> dict[str, str]:
        for number, name in enumerate(variables, 1):
            require(aws_names.VARIABLE.fullmatch(name), f"must have names such as LOG_LEVEL, which no. {number} is not")
        return variables

    @field_validator("command", "entry_point")
    @classmethod
    def _check_words(cls, words: list[str]) -> list[str]:
        for word in words:
            require(
                word not in SHELL_OPERATORS,
                f"must not have {word} as a word, which means something to a shell only: write [sh, -c, …]",
            )
        return words

    @field_validator("writable_folders")
    @classmethod
    def _check_folders(cls, folders: dict[str, int]) -> dict[str, int]:
        for folder in folders:
            is_whole = FOLDER.fullmatch(folder) and not {".", ".."} & set(folder.split("/"))
            require(is_whole, f"must hold paths such as /tmp, without a slash at the end, not {shown.text(folder)}")
            require(
                not NO_FOLDERS.fullmatch(folder),
                f"must not hold {shown.text(folder)}, as it would hide what the image or Docker has there",
            )
        return folders

    @field_validator("capabilities")
    @classmethod
    def _check_capabilities(cls, names: list[str]) -> list[str]:
        require(len(set(names)) == len(names), "must not name a capability twice")
        return names

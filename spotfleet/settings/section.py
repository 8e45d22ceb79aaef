"""What the settings' classes of all layers are made of."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from spotfleet.facts import aws_names
from spotfleet.settings import shown

Percent = Annotated[int, Field(ge=1, le=100)]

Port = Annotated[int, Field(ge=1, le=65535)]

Share = Annotated[int, Field(ge=0, le=100)]

ALL = 100  # percent
HTTPS_PORT = 443
UP_TO_A_YEAR = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365]

LOG_RETENTION_DAYS = Literal[UP_TO_A_YEAR, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]


class Section(BaseModel):
    """Settings that belong together; docs/settings.md has a chapter for each."""

    model_config = ConfigDict(extra="forbid", strict=True)


def refuse(problem: str | None) -> None:
    if problem:
        raise ValueError(problem)


def check_policy_arns(arns: list[str]) -> None:
    for arn in arns:
        require(
            aws_names.POLICY_ARN.fullmatch(arn),
            "must hold ARNs that begin with arn:aws:iam:, such as arn:aws:iam::aws:policy/ReadOnlyAccess, not "
            f"{shown.text(arn)}",
        )
    require(len(set(arns)) == len(arns), "must not name a policy twice")


def require(condition: object, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)

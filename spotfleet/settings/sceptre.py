"""Sceptre's own settings."""

from typing import Any, Literal

from pydantic import Field, field_validator

from spotfleet.facts import aws_names, regions
from spotfleet.settings import shown
from spotfleet.settings.section import Section, refuse, require


class SceptreSettings(Section):
    """Sceptre's own, https://docs.sceptre-project.org/4.7.0/docs/stack_group_config.html."""

    project_code: str = Field(description="first part of every stack's name")
    region: str = Field(description="AWS region, such as eu-west-1")
    stack_tags: dict[str, str] = Field(description="tags on every resource; Project and Environment are required")
    j2_environment: dict[str, Any] = Field(default={}, description="options of Jinja in config/ and templates/")
    required_version: str | None = Field(default=None, description="Sceptre versions that may be used")
    template_bucket_name: str | None = Field(default=None, description="bucket that templates are uploaded to")
    template_key_prefix: str | None = Field(default=None, description="folder in that bucket")
    profile: str | None = Field(default=None, description="profile in the AWS configuration")
    protect: bool = Field(default=False, description="whether Sceptre refuses to change or delete the stacks")
    sceptre_role: str | None = Field(default=None, description="ARN of the role that Sceptre assumes")
    sceptre_role_session_duration: int | None = Field(
        default=None, ge=900, le=43200, description="seconds for which Sceptre assumes that role"
    )
    cloudformation_service_role: str | None = Field(default=None, description="ARN of the role of CloudFormation")
    notifications: list[str] | None = Field(
        default=None, max_length=5, description="ARNs of the topics that hear of stack events"
    )
    on_failure: Literal["DO_NOTHING", "ROLLBACK"] | None = Field(default=None, description="after a failed creation")
    disable_rollback: bool = Field(default=False, description="whether a failed stack stays as it is")

    @field_validator("project_code")
    @classmethod
    def _check_project_code(cls, code: str) -> str:
        require(
            aws_names.STACK_NAME_PART.fullmatch(code),
            "must be the first part of every stack's name: up to 31 letters and digits, first a letter, with single "
            "hyphens between them",
        )
        require(not code.lower().startswith(aws_names.RESERVED_FOR_BUCKETS), "begins as no bucket may, for access logs")
        return code

    @field_validator("region")
    @classmethod
    def _check_region(cls, region: str) -> str:
        refuse(regions.problem_of(region))
        return region

    @field_validator("stack_tags")
    @classmethod
    def _check_tags(cls, tags: dict[str, str]) -> dict[str, str]:
        refuse(aws_names.problem_of_tags(tags))
        return tags

    @field_validator("template_bucket_name")
    @classmethod
    def _check_template_bucket(cls, bucket: str | None) -> str | None:
        require(bucket is None or aws_names.is_bucket(bucket), "must be the name of a bucket")
        return bucket

    @field_validator("sceptre_role", "cloudformation_service_role")
    @classmethod
    def _check_roles(cls, arn: str | None) -> str | None:
        require(arn is None or aws_names.ROLE_ARN.fullmatch(arn), "must be the ARN of an IAM role")
        return arn

    @field_validator("notifications")
    @classmethod
    def _check_notifications(cls, arns: list[str] | None) -> list[str] | None:
        for arn in arns or []:
            require(aws_names.TOPIC_ARN.fullmatch(arn), f"must hold ARNs of SNS topics, not {shown.text(arn)}")
        return arns

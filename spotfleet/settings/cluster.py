"""The settings of the layer cluster."""

from typing import Literal

from pydantic import Field

from spotfleet.facts import aws_names
from spotfleet.settings.section import Section


class ClusterSettings(Section):
    """The layer cluster, and what all layers share: alarms and where they go."""

    container_insights: Literal["disabled", "enabled", "enhanced"] = Field(description="metrics per task, billed")
    kept_images: int = Field(
        ge=2,
        le=1000,
        description="newest images of each service that the repository keeps; what runs must be among them",
    )
    empty_repository_on_delete: bool = Field(description="whether deleting the environment deletes its images")
    alarms: bool = Field(default=False, description="alarms of load balancer, machines and services, to one topic")
    alarm_email: str = Field(
        default="",
        max_length=320,
        pattern=r"^([!-?A-~]+@[!-?A-~]+\.[!-?A-~]+)?$",
        description="address that the alarms are sent to, once it has confirmed AWS's first message",
    )
    alarm_p99_seconds: float = Field(
        default=1.0,
        ge=0.001,
        le=3600,
        allow_inf_nan=False,
        description="response time that 99 % of the requests must stay below",
    )
    dashboard: bool = Field(
        default=False, description="CloudWatch dashboard of a service: traffic, latency, tasks, machines, cost drivers"
    )
    permissions_boundary_arn: str = Field(
        default="",
        max_length=2048,
        pattern=rf"^({aws_names.POLICY_ARN.pattern})?$",
        description="ARN of the IAM policy that bounds what every role of the environment may do",
    )
    role_path: str = Field(
        default="/",
        max_length=512,
        pattern=r"^/([A-Za-z0-9_+=,.@-]+/)*$",
        description="path of every role and instance profile, such as /teams/shop/; a change replaces all machines",
    )
    log_kms_key_arn: str = Field(
        default="",
        pattern=rf"^({aws_names.KEY_ARN.pattern})?$",
        description="ARN of the KMS key of all log groups, whose policy has to let CloudWatch Logs use it; without it "
        "AWS's own key encrypts them",
    )

"""The settings of an environment: what config/<env>/config.yaml may say, and what is wrong with it if anything."""

import difflib
import math
import zoneinfo
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from hooks import (
    administration,
    aws_names,
    characters,
    instance_types,
    networks,
    regions,
    schedule,
    shown,
    sizes,
    spot_notice,
)
from hooks.origins import parse_origins

Percent = Annotated[int, Field(ge=1, le=100)]
Port = Annotated[int, Field(ge=1, le=65535)]
Share = Annotated[int, Field(ge=0, le=100)]
ALL = 100  # percent
# So far above its target must a metric be able to rise to be told from noise.
CPU_MARGIN_PERCENT = 5
ANY_BUCKET = "*"
SHORTEST_SLOW_START = 30  # seconds
LAYERS = {"vpc", "load-balancer", "cluster", "machines", "service", "config"}
UP_TO_A_YEAR = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365]
LOG_RETENTION_DAYS = Literal[UP_TO_A_YEAR, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]
# The rules of AWSManagedRulesCommonRuleSet:
# https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html
CommonRule = Literal[
    "NoUserAgent_HEADER",
    "UserAgent_BadBots_HEADER",
    "SizeRestrictions_QUERYSTRING",
    "SizeRestrictions_Cookie_HEADER",
    "SizeRestrictions_BODY",
    "SizeRestrictions_URIPATH",
    "EC2MetaDataSSRF_BODY",
    "EC2MetaDataSSRF_COOKIE",
    "EC2MetaDataSSRF_URIPATH",
    "EC2MetaDataSSRF_QUERYARGUMENTS",
    "GenericLFI_QUERYARGUMENTS",
    "GenericLFI_URIPATH",
    "GenericLFI_BODY",
    "RestrictedExtensions_URIPATH",
    "RestrictedExtensions_QUERYARGUMENTS",
    "GenericRFI_QUERYARGUMENTS",
    "GenericRFI_BODY",
    "GenericRFI_URIPATH",
    "CrossSiteScripting_COOKIE",
    "CrossSiteScripting_QUERYARGUMENTS",
    "CrossSiteScripting_BODY",
    "CrossSiteScripting_URIPATH",
]
HTTPS_PORT = 443
# A repository's policy has 50 rules at most; one is for the first service, two for images of no service:
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html
MOST_FURTHER_SERVICES = 47
# User data may have 16 KiB; a machine's own is below 3.
LARGEST_EXTRA_USER_DATA = 8192


class Section(BaseModel):
    """Settings that belong together; docs/settings.md has a chapter for each."""

    model_config = ConfigDict(extra="forbid", strict=True)


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
        _require(
            aws_names.STACK_NAME_PART.fullmatch(code),
            "must be the first part of every stack's name: up to 31 letters and digits, first a letter, with single "
            "hyphens between them",
        )
        _require(
            not code.lower().startswith(aws_names.RESERVED_FOR_BUCKETS), "begins as no bucket may, for access logs"
        )
        return code

    @field_validator("region")
    @classmethod
    def _check_region(cls, region: str) -> str:
        _refuse(regions.problem_of(region))
        return region

    @field_validator("stack_tags")
    @classmethod
    def _check_tags(cls, tags: dict[str, str]) -> dict[str, str]:
        _refuse(aws_names.problem_of_tags(tags))
        return tags

    @field_validator("template_bucket_name")
    @classmethod
    def _check_template_bucket(cls, bucket: str | None) -> str | None:
        _require(bucket is None or aws_names.is_bucket(bucket), "must be the name of a bucket")
        return bucket

    @field_validator("sceptre_role", "cloudformation_service_role")
    @classmethod
    def _check_roles(cls, arn: str | None) -> str | None:
        _require(arn is None or aws_names.ROLE_ARN.fullmatch(arn), "must be the ARN of an IAM role")
        return arn

    @field_validator("notifications")
    @classmethod
    def _check_notifications(cls, arns: list[str] | None) -> list[str] | None:
        for arn in arns or []:
            _require(aws_names.TOPIC_ARN.fullmatch(arn), f"must hold ARNs of SNS topics, not {shown.text(arn)}")
        return arns


class NetworkSettings(Section):
    """The layer vpc."""

    vpc_cidr: str = Field(
        description="IPv4 network of the VPC, such as 10.0.0.0/16; private is best. AWS takes 100.64.0.0/10 and public "
        "ranges too: from inside, the internet's own hosts of such a range are out of reach, and which ranges can be "
        "added to the VPC by hand later depends on it "
        "(https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html)"
    )
    subnet_host_bits: int = Field(ge=5, le=13, description="each subnet has 2 to the power of this many addresses")
    availability_zones: int = Field(ge=2, le=3, description="number of zones")
    used_zones: int = Field(
        default=0,
        ge=0,
        le=3,
        description="zones that load balancer and machines use, the first ones; 0: all. To give up a zone, launch "
        "with fewer used_zones, and then with fewer availability_zones",
    )
    egress: Literal["nat_instance", "nat_gateway", "nat_gateway_per_zone", "endpoints"] = Field(
        description="way out of the private subnets: one small machine that recovers by itself, one NAT gateway, one "
        "per zone, or none but private endpoints of the AWS services that the machines need"
    )
    nat_instance_type: str = Field(
        default="t4g.nano", description="arm64 type of the machine, with egress nat_instance, such as t4g.nano"
    )
    ipv6: bool = Field(
        default=False,
        description="IPv6 addresses for load balancer and machines, which leave through an egress-only gateway, except "
        "with egress endpoints; containers keep to IPv4",
    )
    outgoing_ports: list[Port] = Field(
        default=[HTTPS_PORT],
        max_length=20,
        description="TCP ports outside of the VPC that machines and tasks may connect to, such as [443, 587]; 443 is "
        "needed for AWS itself. Within the VPC every TCP port is open",
    )
    flow_logs: Literal["disabled", "rejected", "all"] = Field(
        default="disabled", description="which connections in the VPC are logged, kept for log_retention_days"
    )
    foreign_buckets: list[str] = Field(
        default=[],
        max_length=50,
        description="buckets of other accounts, in the same region, that machines and tasks may reach beside the "
        'account\'s own, such as [partner-data]; ["*"]: any bucket',
    )

    @field_validator("foreign_buckets")
    @classmethod
    def _check_foreign_buckets(cls, names: list[str]) -> list[str]:
        for name in names:
            valid = name == ANY_BUCKET or aws_names.is_bucket(name)
            _require(valid, f'must hold names of buckets such as partner-data, or be ["*"], not {shown.text(name)}')
        _require(ANY_BUCKET not in names or len(names) == 1, 'must not name buckets beside "*", which is any')
        return names

    @field_validator("outgoing_ports")
    @classmethod
    def _check_outgoing_ports(cls, ports: list[int]) -> list[int]:
        _require(HTTPS_PORT in ports, f"must hold {HTTPS_PORT}, by which machines reach AWS")
        _require(len(set(ports)) == len(ports), "must not name a port twice")
        return ports

    @field_validator("vpc_cidr")
    @classmethod
    def _check_vpc_cidr(cls, cidr: str) -> str:
        _refuse(networks.problem_of_vpc(cidr))
        return cidr

    @field_validator("nat_instance_type")
    @classmethod
    def _check_nat_instance_type(cls, name: str) -> str:
        known = instance_types.is_known(name) and instance_types.architecture(name) == "arm64"
        known = known and instance_types.exists(name)
        _require(known, "must be an arm64 type such as t4g.nano")
        return name


class LoadBalancerSettings(Section):
    """The layer load-balancer."""

    account_id: str = Field(
        default="",
        pattern=r"^(\d{12})?$",
        description="12 digits, in quotes, of the AWS account that the environment is for; launches and deletes "
        "anywhere else are refused; on AWS required with deletion_protection",
    )
    deletion_protection: bool = Field(
        description="whether deleting the environment needs a confirmation; AWS protects stacks and load balancer too"
    )
    idle_timeout_seconds: int = Field(ge=1, le=4000, description="a connection without traffic is closed after it")
    domain_name: str = Field(
        default="",
        max_length=aws_names.LONGEST_DOMAIN,
        pattern=rf"^({aws_names.DOMAIN})?$",
        description="domain of the load balancer, such as app.example.com, in lower case; other scripts as xn--…",
    )
    hosted_zone_id: str = Field(
        default="",
        pattern=r"^(Z[A-Z0-9]{1,31})?$",
        description="id of the public Route 53 zone that gets the domain's records, such as Z0123456789ABCDEFGHIJ",
    )
    certificate_arn: str = Field(
        default="",
        pattern=rf"^({aws_names.CERTIFICATE_ARN})?$",
        description="ARN of a certificate in the same region; without it one is requested for the domain",
    )
    tls_policy: str = Field(
        default="ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09",
        pattern=r"^ELBSecurityPolicy-TLS13-1-[23](-Res|-Ext[0-2])?(-FIPS)?(-PQ)?-20[0-9]{2}-[01][0-9]$",
        description="TLS versions and ciphers, an ELBSecurityPolicy-TLS13-1-2-… or -1-3-…",
    )
    leave_https: bool = Field(
        default=False,
        description="first of two steps by which HTTPS is given up: the services answer plain HTTP, and the HTTPS "
        "listener stays, without them; the second is to take certificate_arn or hosted_zone_id away",
    )
    hsts_max_age_days: int = Field(
        default=365,
        ge=0,
        le=730,
        description="with HTTPS: days for which browsers refuse plain HTTP to this host (Strict-Transport-Security), "
        "whatever a service says; its subdomains are not concerned. Before HTTPS is given up, browsers have to hear "
        "max-age=0. 0: none, or what the service itself says",
    )
    load_balancer_scheme: Literal["internet-facing", "internal"] = Field(
        default="internet-facing", description="internal: in the private subnets, reached from the VPC only"
    )
    allowed_addresses: list[str] = Field(
        default=["0.0.0.0/0", "::/0"],
        min_length=1,
        max_length=25,
        description="networks that may send requests, such as [203.0.113.0/24]",
    )
    desync_mode: Literal["monitor", "defensive", "strictest"] = Field(
        default="defensive", description="what happens to requests that could be read in two ways"
    )
    access_logs: bool = Field(default=False, description="whether each request is logged to a bucket")
    access_logs_bucket: str = Field(
        default="",
        description="bucket for these logs, in the same region and open to Elastic Load Balancing; without it the "
        "layer makes one, which outlives the environment",
    )
    access_logs_days: int = Field(default=90, ge=1, le=3650, description="age at which the layer's bucket deletes them")
    web_application_firewall: bool = Field(
        default=False, description="AWS's managed common rules, known bad inputs and a limit per address"
    )
    requests_per_address: int = Field(
        default=2000, ge=10, le=2_000_000_000, description="requests in 5 minutes above which the firewall blocks it"
    )
    counted_firewall_rules: list[CommonRule] = Field(
        default=["SizeRestrictions_BODY", "NoUserAgent_HEADER"],
        description="of AWS's common rules those that only count the requests which they would block: by default that "
        "of bodies above 8 KiB, and that of requests without a User-Agent; []: all of them block",
    )
    web_application_firewall_logging: Literal["disabled", "blocked", "all"] = Field(
        default="disabled",
        description="which requests the firewall logs, without query, cookies and Authorization, kept for "
        "log_retention_days",
    )
    allow_plain_http: bool = Field(
        default=False,
        description="whether an environment with deletion_protection and without HTTPS is meant; otherwise each "
        "launch says so",
    )

    @field_validator("allowed_addresses")
    @classmethod
    def _check_allowed_addresses(cls, sources: list[str]) -> list[str]:
        _refuse(networks.problem_of_sources(sources))
        return sources

    @field_validator("access_logs_bucket")
    @classmethod
    def _check_access_logs_bucket(cls, bucket: str) -> str:
        _require(not bucket or aws_names.is_bucket(bucket), "must be the bucket for these logs, with a name of S3")
        return bucket


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


class InstanceRequirements(Section):
    """What an instance type must have to be chosen."""

    min_vcpus: int = Field(ge=1, le=192, description="fewest vCPUs")
    max_vcpus: int = Field(ge=1, le=192, description="most vCPUs")
    min_memory_gib: int = Field(ge=1, le=1536, description="least memory")
    max_memory_gib: int = Field(ge=1, le=1536, description="most memory")


class MachineSettings(Section):
    """The layer machines."""

    cpu_architecture: Literal["x86_64", "arm64"] = Field(description="architecture of the machines and of the image")
    instance_types: list[str] = Field(
        max_length=40, description="instance types, on-demand one first; [] with instance_requirements"
    )
    instance_requirements: InstanceRequirements | None = Field(
        default=None,
        description="instead of a list: min_vcpus, max_vcpus, min_memory_gib, max_memory_gib; every current type of "
        "the architecture that has them, except burstable ones",
    )
    machine_image: str = Field(
        default="kept",
        pattern=r"^(kept|newest|ami-[0-9a-f]{8,17})$",
        description="kept: the newest image at the first launch, then the same one until a launch is asked for the "
        "newest with NEWEST_MACHINE_IMAGE=<environment>; newest: at each launch; or an image's id. A new one replaces "
        "all machines; the NAT instance takes kept or newest as well",
    )
    cpu_credits: Literal["unlimited", "standard"] = Field(
        default="unlimited",
        description="of burstable types, t3, t3a and t4g: standard slows a machine down to its baseline once it has "
        "no credits, which a new one starts without; unlimited bills what it uses above it on average over a day",
    )
    min_machines: int = Field(ge=0, le=1000, description="machines that always run")
    max_machines: int = Field(ge=1, le=1000, description="machines that may run at once")
    on_demand_base: int = Field(ge=0, le=1000, description="machines that Spot cannot take away")
    on_demand_percent_above_base: Share = Field(description="on-demand share of the machines above the base")
    machine_scaling: Literal["capacity_provider", "cpu"] = Field(description="what adds and removes machines")
    capacity_target_percent: Percent = Field(
        description="share of the machines in use, with capacity_provider; below 100, which keeps spare ones, needs "
        "task_placement fewest_machines"
    )
    machine_cpu_target_percent: Percent = Field(description="average CPU use of the machines, with cpu")
    machine_warmup_seconds: int = Field(ge=1, le=3600, description="from launch until a machine counts in scaling")
    max_machine_lifetime_days: int = Field(
        default=0, ge=0, le=365, description="age at which a machine is replaced by a new one; 0: never"
    )
    root_volume_gib: int = Field(ge=30, le=16384, description="size of the root volume; the machine image needs 30")
    reserved_memory_mib: int = Field(
        ge=0,
        le=4096,
        description="memory of each machine that tasks may not reserve: system, Docker and agent use about 200",
    )
    detailed_monitoring: bool = Field(description="machine metrics every minute, billed")
    extra_user_data: str = Field(
        default="", description="shell commands that a machine runs at its first start, as root; up to 8 KiB"
    )
    machine_policy_arns: list[str] = Field(
        default=[],
        max_length=10,
        description="ARNs of IAM policies that machines and NAT instance have beside what the ECS agent and Session "
        "Manager need, such as one that writes the logs of sessions",
    )

    @field_validator("machine_policy_arns")
    @classmethod
    def _check_machine_policies(cls, arns: list[str]) -> list[str]:
        _check_policy_arns(arns)
        administrative = list(filter(administration.is_administrative, arns))
        # A container that breaks out has what its machine has.
        _require(not administrative, f"must not let a machine raise itself to administrator, as {administrative} does")
        return arns

    @field_validator("extra_user_data")
    @classmethod
    def _check_extra_user_data(cls, commands: str) -> str:
        _require(
            len(commands.encode()) <= LARGEST_EXTRA_USER_DATA, f"must have at most {LARGEST_EXTRA_USER_DATA} bytes"
        )
        return commands

    @field_validator("instance_types")
    @classmethod
    def _check_instance_types(cls, names: list[str]) -> list[str]:
        for name in names:
            _require(
                instance_types.is_known(name),
                f"must hold t3, t3a, t4g, or c, m, r types from 5 on, not {shown.text(name)}",
            )
            _require(instance_types.exists(name), f"must hold types that EC2 has; {name} is none that botocore knows")
        _require(len(set(names)) == len(names), "must not name a type twice")
        # Credits are set for all of them or for none.
        _require(len(set(map(instance_types.is_burstable, names))) <= 1, "must not mix t types with others")
        return names


class ScheduledChange(Section):
    """Limits of the number of tasks that hold from a time on."""

    schedule: str = Field(description="such as cron(0 20 ? * MON-FRI *)")
    min_tasks: int = Field(ge=0, le=5000, description="tasks that run at least")
    max_tasks: int = Field(ge=0, le=5000, description="tasks that run at most")

    @field_validator("schedule")
    @classmethod
    def _check_schedule(cls, expression: str) -> str:
        try:
            schedule.parse(expression)
        except ValueError as error:
            raise ValueError(f"must be such as cron(0 20 ? * MON-FRI *): {error}") from error
        return expression


class ServiceSettings(Section):
    """The layer service; each one can have another value for a further service, under `services`."""

    base_image: str = Field(
        max_length=512, pattern=f"^{aws_names.IMAGE}$", description="Python image that the service image is built on"
    )
    build_context: str = Field(
        default=".",
        pattern=r"^(\.|[\w-][\w.-]*(/[\w-][\w.-]*)*)$",
        description="folder of the project that holds the Dockerfile and what it copies, such as services/api",
    )
    cors_origins: str = Field(description="comma-separated origins such as https://example.com, or *")
    task_cpu_units: int = Field(ge=128, le=196_608, description="CPU units of a task; 1024 is one vCPU")
    task_memory_mib: int = Field(ge=64, le=122880, description="memory limit of a task")
    environment_variables: dict[str, str] = Field(
        default={}, description="variables of the containers, such as {LOG_LEVEL: info}; nothing secret"
    )
    secrets: dict[str, str] = Field(
        default={},
        description="variables whose values ECS reads when it starts a task: by name the ARN of a Secrets Manager "
        "secret, or the name, such as /shop/key, or ARN of an SSM parameter",
    )
    secret_key_arns: list[str] = Field(
        default=[], description="ARNs of the KMS keys that encrypt these secrets, unless it is AWS's own key"
    )
    execute_command: bool = Field(
        default=False,
        description="ECS Exec, a command in a running task, whose root file system is then writable; this project's "
        "image has no shell, only python3",
    )
    task_policy_arns: list[str] = Field(
        default=[], max_length=10, description="ARNs of IAM policies: what the service itself may do in AWS"
    )
    allow_administrator_tasks: bool = Field(
        default=False,
        description="whether task_policy_arns may hold policies that make the service an administrator of the account",
    )
    min_tasks: int = Field(ge=1, le=5000, description="tasks that always run")
    max_tasks: int = Field(ge=1, le=5000, description="tasks that may run, apart from deployments")
    task_cpu_target_percent: Percent = Field(description="average CPU use of the tasks that scaling aims at")
    task_memory_target_percent: Share = Field(
        default=0, description="average memory use of the tasks that scaling aims at as well; 0: memory does not count"
    )
    requests_per_task: int = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="requests per minute and task that scaling aims at as well; 0: requests do not count",
    )
    scale_out_cooldown_seconds: int = Field(ge=0, le=3600, description="after adding tasks")
    scale_in_cooldown_seconds: int = Field(ge=0, le=3600, description="after removing tasks")
    scheduled_scaling: list[ScheduledChange] = Field(
        default=[],
        description="other limits from a time on, each with schedule, min_tasks and max_tasks; a night at zero is "
        '{schedule: "cron(0 20 ? * MON-FRI *)", min_tasks: 0, max_tasks: 0} and a morning that undoes it',
    )
    schedule_time_zone: str = Field(
        default="UTC",
        pattern=r"^(UTC|[A-Z][A-Za-z0-9_]+(/[A-Z][A-Za-z0-9_+-]*)+)$",
        description="time zone of these times, such as Europe/Dublin",
    )
    task_placement: Literal["zones_first", "fewest_machines"] = Field(
        default="zones_first",
        description="zones_first: as many tasks in each zone, moved when one zone has too many and each has a machine; "
        "fewest_machines: machines are filled one after the other",
    )
    min_healthy_percent: Share = Field(
        description="share of the tasks that keeps serving during a deployment and while a machine is drained; where "
        "tasks can stand on Spot it must let one stop before its replacement serves"
    )
    max_percent: int = Field(ge=101, le=400, description="share of the tasks that may run during a deployment")
    deployment_failures: int = Field(
        default=0,
        ge=0,
        le=200,
        description="tasks that fail in a row before a deployment is given up; 0: as ECS has it, half of the tasks, at "
        "least 3",
    )
    deployment_alarms: bool = Field(
        default=False, description="whether alarms of errors or slowness end a deployment and bring the old tasks back"
    )
    path_pattern: str = Field(
        pattern=f"^{aws_names.PATH_PATTERN}$", description="paths of the service's requests, such as /*"
    )
    host_names: list[str] = Field(
        default=[], max_length=4, description="host names of the service's requests, such as api.example.com; []: any"
    )
    listener_priority: int = Field(ge=1, le=50000, description="order of the service's rule in the listener")
    slow_start_seconds: int = Field(
        default=0, ge=0, le=900, description="a new task gets its full share of requests after it; 0, or 30 to 900"
    )
    health_check_interval_seconds: int = Field(ge=6, le=300, description="time between two health checks")
    health_check_grace_seconds: int = Field(ge=0, le=3600, description="failed health checks are ignored this long")
    deregistration_delay_seconds: int = Field(ge=5, le=3600, description="time for requests in flight")
    stop_timeout_seconds: int = Field(ge=2, le=120, description="from SIGTERM to SIGKILL")
    log_retention_days: LOG_RETENTION_DAYS = Field(description="age at which log entries are deleted")
    service_timeout_minutes: int = Field(ge=5, le=600, description="gives up on a service without healthy tasks")

    @field_validator("cors_origins")
    @classmethod
    def _check_cors_origins(cls, origins: str) -> str:
        parse_origins(origins)
        return origins

    @field_validator("environment_variables", "secrets")
    @classmethod
    def _check_variable_names(cls, variables: dict[str, str]) -> dict[str, str]:
        for number, name in enumerate(variables, 1):
            _require(
                aws_names.VARIABLE.fullmatch(name), f"must have names such as LOG_LEVEL, which no. {number} is not"
            )
        return variables

    @field_validator("secrets")
    @classmethod
    def _check_secrets(cls, secrets: dict[str, str]) -> dict[str, str]:
        for name, source in secrets.items():
            _require(
                aws_names.SECRET_ARN.fullmatch(source) or aws_names.is_parameter(source),
                f"must be full ARNs of secrets, or names or ARNs of SSM parameters, which that of {shown.key((name,))} "
                "is not",
            )
        return secrets

    @field_validator("secret_key_arns")
    @classmethod
    def _check_key_arns(cls, arns: list[str]) -> list[str]:
        for arn in arns:
            _require(
                aws_names.KEY_ARN.fullmatch(arn),
                "must hold whole ARNs of keys, arn:aws:kms:<region>:<account>:key/<id>, as a policy that names an "
                f"alias allows nothing, not {shown.text(arn)}",
            )
        return arns

    @field_validator("task_policy_arns")
    @classmethod
    def _check_task_policies(cls, arns: list[str]) -> list[str]:
        _check_policy_arns(arns)
        return arns

    @field_validator("host_names")
    @classmethod
    def _check_host_names(cls, names: list[str]) -> list[str]:
        for name in names:
            _require(
                aws_names.HOST_PATTERN.fullmatch(name),
                f"must hold names such as api.example.com, not {shown.text(name)}",
            )
        return names

    @field_validator("schedule_time_zone")
    @classmethod
    def _check_time_zone(cls, name: str) -> str:
        known = _time_zones()
        _require(name in known or not known, "must be the time zone of these times, such as Europe/Dublin")
        return name

    @field_validator("slow_start_seconds")
    @classmethod
    def _check_slow_start(cls, seconds: int) -> int:
        _require(seconds == 0 or seconds >= SHORTEST_SLOW_START, f"must be 0, or {SHORTEST_SLOW_START} to 900")
        return seconds


class Settings(
    ServiceSettings, MachineSettings, ClusterSettings, LoadBalancerSettings, NetworkSettings, SceptreSettings
):
    """Everything that holds for all stacks of one environment."""

    services: dict[str, dict[str, Any]] = Field(
        default={},
        description="further services: by the name of the stack file, the settings of the layer service that differ",
    )


SECTIONS: tuple[type[Section], ...] = (
    NetworkSettings,
    LoadBalancerSettings,
    ClusterSettings,
    MachineSettings,
    ServiceSettings,
)


def defaults() -> dict[str, Any]:
    """Return the value of each of this project's settings that an environment need not give."""
    fields = {name: field for name, field in Settings.model_fields.items() if name not in SceptreSettings.model_fields}
    return {name: field.get_default() for name, field in fields.items() if not field.is_required()}


def find_problems(config: dict[str, Any]) -> dict[str, str]:
    """Return what is wrong with the settings of an environment: by key, the value and what would be right.

    Each is one line, and holds no value of a setting that may be secret.
    """
    unfit = {shown.key(place): problem for place, problem in characters.problems(config)}
    return unfit or {key: shown.without_addresses(problem) for key, problem in _problems(config).items()}


def _problems(config: dict[str, Any]) -> dict[str, str]:
    try:
        settings = Settings.model_validate(config)
    except ValidationError as error:
        return {shown.key(details["loc"]): _explain(details) for details in error.errors()}
    problems = dict(_problems_of_services(settings))
    if problems:
        return problems
    return {key: f"{shown.setting(key, _value(settings, key))}: {should}" for key, should in _contradictions(settings)}


def remarks(config: dict[str, Any]) -> Iterator[str]:
    """Yield what nobody here can know of valid settings, and AWS will tell."""
    settings = Settings.model_validate(config)
    if settings.instance_types and instance_types.missing_in(settings.region, settings.instance_types) is None:
        yield (
            f"Whether EC2 has {', '.join(settings.instance_types)} in {settings.region} is not known to "
            f"{instance_types.data_of_regions()}"
        )
    yield from regions.remarks_on_zones(settings.region, settings.availability_zones)


def service_settings(settings: Settings) -> dict[str, ServiceSettings]:
    """Return the settings of every service: by its name under `services`, the first one's under the empty name."""
    shared = {name: getattr(settings, name) for name in ServiceSettings.model_fields}
    everyones = {"": {}, **settings.services}
    return {name: ServiceSettings.model_validate(shared | own) for name, own in everyones.items()}


def tasks_per_machine(settings: Settings, service: ServiceSettings | None = None) -> int:
    """Return how many tasks of a service the smallest machine of the fleet holds, by memory and by CPU units."""
    service = service or settings
    if wanted := settings.instance_requirements:
        memory = instance_types.after_kernel(wanted.min_memory_gib * 1024)
        units = wanted.min_vcpus * instance_types.CPU_UNITS_PER_VCPU
    else:
        memory = min(map(instance_types.memory_mib, settings.instance_types))
        units = min(map(instance_types.cpu_units, settings.instance_types))
    return _held(settings, service, memory, units)


def _held(settings: Settings, service: ServiceSettings, memory_mib: int, units: int) -> int:
    """Return how many tasks of a service a machine with this memory and these CPU units holds."""
    by_memory = (memory_mib - settings.reserved_memory_mib) // service.task_memory_mib
    return max(0, min(by_memory, units // service.task_cpu_units))


def can_stand_on_spot(settings: Settings) -> bool:
    """Tell whether AWS can take a machine back on which tasks run."""
    return settings.max_machines > settings.on_demand_base and settings.on_demand_percent_above_base < ALL


def tasks_during_deployment(service: ServiceSettings) -> int:
    """Return how many tasks run at most: ECS rounds the percentage of the full service down."""
    return service.max_tasks * service.max_percent // 100


def _problems_of_services(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the settings that a further service has for itself."""
    shared = {name: getattr(settings, name) for name in ServiceSettings.model_fields}
    for service, own in settings.services.items():
        if not aws_names.SERVICE.fullmatch(service) or service in LAYERS:
            yield shown.key(("services", service)), "is not the name of a further service, such as api"
        try:
            ServiceSettings.model_validate(shared | own)
        except ValidationError as error:
            for details in error.errors():
                yield shown.key(("services", service, *details["loc"])), _explain(details, ServiceSettings)


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each setting that does not go with another one, and what would."""
    yield from _contradictions_of_the_network(settings)
    yield from _contradictions_of_the_load_balancer(settings)
    yield from _contradictions_of_the_machines(settings)
    services = service_settings(settings)
    for name, service in services.items():
        prefix = f"services.{name}." if name else ""
        own = settings.services[name] if name else {}
        for key, should in _contradictions_of_a_service(settings, service):
            # A further service is only to blame for what it says itself.
            if not name or key in own:
                yield f"{prefix}{key}", should
    yield from _contradictions_between_services(settings, services)


def _contradictions_of_the_network(settings: Settings) -> Iterator[tuple[str, str]]:
    subnets = networks.Subnets(
        settings.subnet_host_bits,
        settings.availability_zones,
        has_endpoints=settings.egress == "endpoints",
        has_load_balancer=settings.load_balancer_scheme == "internal",
    )
    if settings.used_zones == 1 or settings.used_zones > settings.availability_zones:
        yield (
            "used_zones",
            f"must be 0, for all, or from 2, as a load balancer needs two, to availability_zones "
            f"({settings.availability_zones})",
        )
    if settings.egress == "endpoints" and settings.outgoing_ports != [HTTPS_PORT]:
        yield "outgoing_ports", f"must be [{HTTPS_PORT}] with egress endpoints, which lead nowhere else"
    yield from networks.problems_of_subnets(settings.vpc_cidr, subnets, settings.max_machines)


def _contradictions_of_the_load_balancer(settings: Settings) -> Iterator[tuple[str, str]]:
    yield from _settings_of_the_load_balancer_without_use(settings)
    if settings.hosted_zone_id and not settings.domain_name:
        yield "domain_name", "must be given with hosted_zone_id, which gets its records"
    if settings.domain_name and not (settings.hosted_zone_id or settings.certificate_arn):
        yield "domain_name", "needs hosted_zone_id, or certificate_arn where the domain's records are not in Route 53"
    if aws_names.foreign_arns([settings.certificate_arn], regions.partition(settings.region)):
        yield "certificate_arn", f"must be in the partition {regions.partition(settings.region)} of {settings.region}"
    elif settings.certificate_arn and settings.certificate_arn.split(":")[3] != settings.region:
        yield "certificate_arn", f"must be a certificate in {settings.region}, the load balancer's region"
    requested = settings.domain_name and not settings.certificate_arn
    if requested and len(settings.domain_name) > aws_names.LONGEST_CERTIFIED_DOMAIN:
        yield (
            "domain_name",
            f"must have at most {aws_names.LONGEST_CERTIFIED_DOMAIN} characters without certificate_arn",
        )
    partition = regions.partition(settings.region)
    own = ("permissions_boundary_arn", "log_kms_key_arn")
    foreign = [key for key in own if aws_names.foreign_arns([getattr(settings, key)], partition)]
    if aws_names.foreign_arns(settings.machine_policy_arns, partition):
        foreign.append("machine_policy_arns")
    for key in foreign:
        yield key, f"must be in the partition {partition} of {settings.region}"
    is_elsewhere = settings.log_kms_key_arn and settings.log_kms_key_arn.split(":")[3] != settings.region
    if is_elsewhere and "log_kms_key_arn" not in foreign:
        yield "log_kms_key_arn", f"must be a key in {settings.region}, the region of the log groups"


def _settings_of_the_load_balancer_without_use(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.leave_https and not (settings.hosted_zone_id or settings.certificate_arn):
        yield "leave_https", "is not used without HTTPS, which certificate_arn or hosted_zone_id bring"
    if settings.access_logs_bucket and not settings.access_logs:
        yield "access_logs_bucket", "is not used while access_logs is false"
    changed = settings.counted_firewall_rules != defaults()["counted_firewall_rules"]
    if changed and not settings.web_application_firewall:
        yield "counted_firewall_rules", "is not used while web_application_firewall is false"
    if settings.web_application_firewall_logging != "disabled" and not settings.web_application_firewall:
        yield "web_application_firewall_logging", "is not used while web_application_firewall is false"
    if settings.alarm_email and not settings.alarms:
        yield "alarm_email", "is not used while alarms is false"


def _contradictions_of_the_machines(settings: Settings) -> Iterator[tuple[str, str]]:
    wanted = settings.instance_requirements
    if bool(settings.instance_types) == bool(wanted):
        yield "instance_types", "must name at least one type, or none with instance_requirements"
    if wanted and (wanted.max_vcpus < wanted.min_vcpus or wanted.max_memory_gib < wanted.min_memory_gib):
        yield "instance_requirements", "must not have a maximum below its minimum"

    foreign = [n for n in settings.instance_types if instance_types.architecture(n) != settings.cpu_architecture]
    if foreign:
        yield "instance_types", f"must be of cpu_architecture {settings.cpu_architecture}, not {', '.join(foreign)}"

    types = {"instance_types": settings.instance_types}
    if settings.egress == "nat_instance":
        types["nat_instance_type"] = [settings.nat_instance_type]
    for key, names in types.items():
        if missing := instance_types.missing_in(settings.region, names):
            yield (
                key,
                f"must be of types that EC2 has in {settings.region}; of {', '.join(missing)} it has none there, as "
                f"{instance_types.data_of_regions()} has it",
            )

    if settings.max_machines <= settings.min_machines:
        yield "max_machines", f"must be more than min_machines ({settings.min_machines}), to replace one by a new one"


def _contradictions_of_a_service(settings: Settings, service: ServiceSettings) -> Iterator[tuple[str, str]]:
    if service.max_tasks < service.min_tasks:
        yield "max_tasks", f"must be at least min_tasks ({service.min_tasks})"
    if any(change.max_tasks < change.min_tasks for change in service.scheduled_scaling):
        yield "scheduled_scaling", "must not have max_tasks below min_tasks"
    if any(change.max_tasks > service.max_tasks for change in service.scheduled_scaling):
        yield "scheduled_scaling", f"must not have more than max_tasks ({service.max_tasks}), which the machines hold"
    both = service.environment_variables.keys() & service.secrets.keys() | service.secrets.keys() & {"CORS_ORIGINS"}
    if both:
        yield "secrets", f"must not name {', '.join(sorted(both))}, which is a plain variable too"
    if "CORS_ORIGINS" in service.environment_variables:
        yield "environment_variables", "must not name CORS_ORIGINS: that is the setting cors_origins"
    administrative = list(filter(administration.is_administrative, service.task_policy_arns))
    if administrative and not service.allow_administrator_tasks:
        yield (
            "task_policy_arns",
            f"must not hold {', '.join(administrative)}, which lets a task raise itself to administrator of the "
            "account, unless allow_administrator_tasks is true",
        )
    if service.deployment_alarms and not settings.alarms:
        yield "deployment_alarms", "needs alarms to be true"
    if sum(map("".join([service.path_pattern, *service.host_names]).count, "*?")) > aws_names.WILDCARDS:
        yield "host_names", f"must not have more than {aws_names.WILDCARDS} wildcards together with path_pattern"
    yield from sizes.problems(
        service.secrets, service.secret_key_arns, service.environment_variables, service.cors_origins
    )
    yield from _foreign_arns(settings.region, service)

    # ECS rounds what may run down and what must keep running up: one of them has to leave room to move.
    may_run = service.min_tasks * service.max_percent // 100
    must_run = -(-service.min_tasks * service.min_healthy_percent // 100)
    if may_run <= service.min_tasks <= must_run:
        yield "max_percent", f"must let a deployment start one more task than min_tasks ({service.min_tasks})"

    if _has_types(settings) and tasks_per_machine(settings, service) == 0:
        smallest = ", ".join(settings.instance_types) or "machines with instance_requirements"
        yield "task_memory_mib", f"with task_cpu_units must fit the smallest of {smallest}"

    if can_stand_on_spot(settings):
        yield from spot_notice.problems(
            service.min_tasks,
            service.min_healthy_percent,
            math.ceil(service.min_tasks / settings.availability_zones),
            service.health_check_interval_seconds,
            service.deregistration_delay_seconds,
            service.stop_timeout_seconds,
        )
    yield from _targets_that_throttled_machines_never_reach(settings, service)


def _targets_that_throttled_machines_never_reach(
    settings: Settings, service: ServiceSettings
) -> Iterator[tuple[str, str]]:
    """Yield a CPU target above what tasks get of machines without credits, where nothing else would scale them."""
    if settings.cpu_credits != "standard" or service.requests_per_task:
        return
    for name in filter(instance_types.is_burstable, settings.instance_types):
        units = instance_types.cpu_units(name)
        held = _held(settings, service, instance_types.memory_mib(name), units)
        baseline = units * instance_types.baseline_percent(name) // 100
        reserved = held * service.task_cpu_units
        if reserved and baseline * 100 < service.task_cpu_target_percent * reserved:
            yield (
                "task_cpu_target_percent",
                f"is never reached with cpu_credits standard: without credits a {name} gives its {held} tasks "
                f"{baseline} CPU units, {baseline * 100 // reserved} % of their {held} x {service.task_cpu_units}; "
                "set requests_per_task to scale by requests, or cpu_credits unlimited",
            )
            return


def _foreign_arns(region: str, service: ServiceSettings) -> Iterator[tuple[str, str]]:
    partition = regions.partition(region)
    arns = {
        "secrets": [*service.secrets.values()],
        "secret_key_arns": service.secret_key_arns,
        "task_policy_arns": service.task_policy_arns,
    }
    for key, found in arns.items():
        if aws_names.foreign_arns(found, partition):
            yield key, f"must be in the partition {partition} of {region}: ARNs that begin with arn:{partition}:"


def _contradictions_between_services(
    settings: Settings, services: dict[str, ServiceSettings]
) -> Iterator[tuple[str, str]]:
    if len(settings.services) > MOST_FURTHER_SERVICES:
        yield "services", f"must be at most {MOST_FURTHER_SERVICES}: ECR takes 50 rules that say which images are kept"
    priorities = {service.listener_priority: name for name, service in services.items()}
    for name, service in services.items():
        if priorities[service.listener_priority] != name:
            other = priorities[service.listener_priority]
            yield f"services.{other}", f"must have a listener_priority of its own, not {service.listener_priority}"

    spreading = [name or "the first service" for name, own in services.items() if own.task_placement == "zones_first"]
    is_spare = settings.machine_scaling == "capacity_provider" and settings.capacity_target_percent < ALL
    if spreading and is_spare:
        yield (
            "capacity_target_percent",
            f"must be {ALL} with task_placement zones_first (of {', '.join(spreading)}): ECS compares machines with a "
            f"task to all machines, and tasks spread over all of them, so it is {ALL} % and machines are added until "
            f"each task has its own or max_machines ({settings.max_machines}) run; for spare machines set a higher "
            "min_machines, or task_placement fewest_machines",
        )
    holds = (
        {name: tasks_per_machine(settings, service) for name, service in services.items()}
        if _has_types(settings)
        else {}
    )
    if not holds or 0 in holds.values():
        return
    yield from _problems_of_scaling_by_cpu(settings, services, holds)
    tasks = {name: tasks_during_deployment(service) for name, service in services.items()}
    least = sum(-(-tasks[name] // holds[name]) for name in services)
    if settings.max_machines < least:
        yield (
            "max_machines",
            f"must be at least {least}: {sum(tasks.values())} tasks run during a deployment (max_tasks times "
            f"max_percent) and the smallest machine holds {min(holds.values())}",
        )


def _problems_of_scaling_by_cpu(
    settings: Settings, services: dict[str, ServiceSettings], holds: dict[str, int]
) -> Iterator[tuple[str, str]]:
    """Yield why machines would never be added by their CPU use, and nothing else adds any.

    Tasks cannot use more than they reserve, so neither can a machine that is full of them.
    """
    if settings.machine_scaling != "cpu":
        return
    least = sum(math.ceil((service.min_tasks + 1) / holds[name]) for name, service in services.items())
    if settings.min_machines < least:
        yield (
            "min_machines",
            f"must be at least {least} with machine_scaling cpu, which adds no machine for a task that has no room: "
            f"min_tasks and one more of each service, and the smallest machine holds {min(holds.values())}",
        )
    for name in settings.instance_types:
        memory, units = instance_types.memory_mib(name), instance_types.cpu_units(name)
        used = max(_held(settings, service, memory, units) * service.task_cpu_units for service in services.values())
        reached = used * 100 // units
        words = f"tasks that fill a {name} use {used} of its {units} CPU units, {reached} %"
        if settings.cpu_credits == "standard" and instance_types.baseline_percent(name) < reached:
            reached = instance_types.baseline_percent(name)
            words = f"without credits (cpu_credits standard) a {name} is at {reached} %"
        if reached < settings.machine_cpu_target_percent + CPU_MARGIN_PERCENT:
            yield (
                "machine_cpu_target_percent",
                f"must be at most {max(1, reached - CPU_MARGIN_PERCENT)} with machine_scaling cpu: {words}, and "
                "scaling needs some above its target; or take machine_scaling capacity_provider, or tasks with less "
                "memory or more CPU units",
            )
            return


def _has_types(settings: Settings) -> bool:
    return bool(settings.instance_types or settings.instance_requirements)


def _value(settings: Settings, key: str) -> object:
    value: Any = settings
    for part in key.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def _explain(details: ErrorDetails, section: type[Section] = Settings) -> str:
    key = str(details["loc"][0])
    if details["type"] in ("extra_forbidden", "invalid_key"):
        nearest = difflib.get_close_matches(str(details["loc"][-1]), section.model_fields, n=1)
        return f"is not a setting{f'; the nearest is {nearest[0]}' if nearest else ''}"
    description = section.model_fields[key].description
    if details["type"] == "missing":
        return f"is missing; it is the {description}"
    is_so = shown.setting(key, details["input"])
    if details["type"] == "string_pattern_mismatch":
        return f"{is_so}: must be the {description}"
    if details["type"] == "bool_type":
        return f"{is_so}: must be true or false, without quotes ({description})"
    should = details["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{is_so}: {should} ({description})"


@cache
def _time_zones() -> set[str]:
    """Return the names of all time zones, or none where the system has no database of them."""
    return zoneinfo.available_timezones()


def _refuse(problem: str | None) -> None:
    if problem:
        raise ValueError(problem)


def _check_policy_arns(arns: list[str]) -> None:
    for arn in arns:
        _require(
            aws_names.POLICY_ARN.fullmatch(arn),
            "must hold ARNs that begin with arn:aws:iam:, such as arn:aws:iam::aws:policy/ReadOnlyAccess, not "
            f"{shown.text(arn)}",
        )
    _require(len(set(arns)) == len(arns), "must not name a policy twice")


def _require(condition: object, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)

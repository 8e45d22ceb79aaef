"""The settings of the layer load-balancer."""

from typing import Literal

from pydantic import Field, field_validator

from spotfleet.facts import aws_names
from spotfleet.settings import networks
from spotfleet.settings.section import Section, refuse, require

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
        refuse(networks.problem_of_sources(sources))
        return sources

    @field_validator("access_logs_bucket")
    @classmethod
    def _check_access_logs_bucket(cls, bucket: str) -> str:
        require(not bucket or aws_names.is_bucket(bucket), "must be the bucket for these logs, with a name of S3")
        return bucket

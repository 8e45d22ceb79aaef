"""Names, ARNs, regions and networks: what AWS takes passes, what it refuses is refused."""

import re
from typing import Any, get_args

import pytest
from botocore.loaders import create_loader
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from hypothesis import given
from hypothesis import settings as options
from hypothesis.strategies import from_regex

from spotfleet.facts import aws_names, instance_types, regions
from spotfleet.settings import networks
from spotfleet.settings.environment import Settings
from spotfleet.settings.problems import find_problems
from spotfleet.settings.section import LOG_RETENTION_DAYS
from tests.hooks.test_valid_settings import settings
from tests.support.changed import changed

KEY = "arn:aws:kms:eu-west-1:123456789012:"
ACCEPTED: list[tuple[str, object]] = [
    *[("project_code", code) for code in ("ecs-shop", "AWS1", "fargate", "a", "a" * 31, "internal")],
    *[("domain_name", name) for name in ("example.com", "app.xn--80asehdb", "xn--e1afmkfd.xn--p1ai", "a.b.c.d.museum")],
    *[("vpc_cidr", net) for net in ("100.64.0.0/16", "8.8.0.0/16", "198.18.0.0/20", "172.18.0.0/16", "10.0.0.0/20")],
    *[("path_pattern", path) for path in ("/*", '/a"b/*', "/it's", "*.png", "?", "/~a/$b:@+&")],
    *[("alarm_email", mail) for mail in ('"ops"@example.com', "ops+dev@example.co", "o'neil@example.com", "")],
    ("host_names", ["*.example.com", "api.xn--p1ai", "?.Example.COM"]),
    ("secrets", {"A": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1a2b-3c4d-AbCdEf"}),
    ("secrets", {"A": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!cluster-1a-AbCdEf:password::"}),
    ("secrets", {"A": "DATABASE_URL", "B": "a.b-c", "C": "/shop/dev/key"}),
    ("secrets", {"A": "arn:aws:ssm:eu-west-1:123456789012:parameter/DATABASE_URL"}),
    ("secret_key_arns", [f"{KEY}key/1234abcd-12ab-34cd-56ef-1234567890ab", f"{KEY}key/mrk-{'0a' * 16}"]),
    ("task_policy_arns", ["arn:aws:iam::aws:policy/service-role/X", "arn:aws:iam::123456789012:policy/a+b=,.@_-"]),
    ("base_image", "localhost:5000/a/b__c:1.2_x-y"),
    ("base_image", f"Registry.Example.com/python@sha256:{'0a' * 32}"),
    ("log_retention_days", 3653),
    ("alarm_p99_seconds", 0.001),
    ("schedule_time_zone", "America/Argentina/Buenos_Aires"),
    ("instance_types", ["m7i-flex.large"]),
    ("stack_tags", {"Project": "a", "Environment": "", "Größe": "a b_c.d:e/f=g+h-i@j"}),
]
REFUSED: list[tuple[str, object]] = [
    *[("project_code", code) for code in ("1a", "a-", "a--b", "a_b", "", "a" * 32, "é", "sthree-a", "a\n")],
    *[("domain_name", name) for name in ("App.example.com", "müller.de", "a..b", "example.c0m", "a.xn--", "*.a.com")],
    ("domain_name", ".".join(["a" * 60] * 5)),
    *[("vpc_cidr", net) for net in ("127.0.0.0/16", "224.0.0.0/16", "0.0.0.0/16", "10.0.0.0/25", "10.0.0.0/016")],
    *[("path_pattern", path) for path in ("a", "", "/ä", "/a b", "/a(b)", "/a;b", "/a,b=c!", "/" + "a" * 128)],
    *[("alarm_email", mail) for mail in ("a@b", "ä@example.com", "a b@example.com", "a@@example.com")],
    *[("host_names", [name]) for name in ("localhost", "a.b:80", "a_b.com", "a.com/", "a.1", "a." + "b" * 128, "a.*")],
    *[("secret_key_arns", [arn]) for arn in (f"{KEY}alias/a", "arn:aws:kms:", f"{KEY}key/*", "arn:aws:kms:*:*:key/a")],
    *[("task_policy_arns", [arn]) for arn in ("arn:aws:iam::aws:role/a", "arn:aws:iam::aws:policy/", "arn:aws:iam:")],
    *[("secrets", {"A": name}) for name in ("shop/key", "/", "/a//b", "/a" * 16, "a:1", "a b", "", "/" + "a" * 1011)],
    *[("access_logs_bucket", name) for name in ("ab", "a..b", "1.2.3.4", "xn--a", "a-s3alias", "A-b", "a_b")],
    *[("base_image", name) for name in ("Python:3", "python:", "a//b", "a@sha256:1", "https://a/b", "a" * 600)],
    *[("stack_tags", {"Project": "a", "Environment": "b"} | more) for more in ({"aws:a": "b"}, {"project": "b"})],
    ("stack_tags", {"Project": "a" * 257, "Environment": "b"}),
    ("stack_tags", {"Project": "a", "Environment": "b", **{f"t{n}": "" for n in range(50)}}),
    ("allowed_addresses", ["10.0.0.0/8", "10.0.0.0/8"]),
    *[("allowed_addresses", [net]) for net in ("10.0.0.0/255.0.0.0", "fe80::%1/64", "10.0.0.1/8", "1.2.3.4")],
    *[("tls_policy", f"ELBSecurityPolicy-TLS13-{name}") for name in ("1-2-Foo", "1-1-2021-06", "1-2", "1-2-2021-06x")],
    *[("instance_types", [name]) for name in ("m5.3xlarge", "c5zz.large", "t3.metal")],
    *[("schedule_time_zone", name) for name in ("Europe/Dubln", "America/Argentina")],
    ("nat_instance_type", "c7g.5xlarge"),
    ("alarm_p99_seconds", 0.0001),
    ("alarm_p99_seconds", float("nan")),
    ("notifications", ["arn:aws:sqs:eu-west-1:123456789012:a"]),
    ("sceptre_role", "arn:aws:iam::123456789012:user/a"),
    ("log_retention_days", 10),
]
# With these every setting that the two lists have does something.
AROUND: dict[str, Any] = {"alarms": True, "access_logs": True, "task_cpu_units": 128, "subnet_host_bits": 5}
ZONE = {"hosted_zone_id": "Z0123456789ABCDEFGHIJ"}


@pytest.mark.parametrize(("key", "value"), ACCEPTED, ids=repr)
def test_what_aws_takes_passes(key: str, value: object) -> None:
    around = AROUND | (ZONE if key == "domain_name" else {}) | {key: value}
    assert find_problems(settings(**around)) == {}


@pytest.mark.parametrize(("key", "value"), REFUSED, ids=lambda value: repr(value)[:40])
def test_what_aws_refuses_is_named(key: str, value: object) -> None:
    assert list(find_problems(settings(**(AROUND | {key: value})))) == [key]


# --- AWS's own patterns


def schema(kind: str, *path: str) -> Any:  # noqa: ANN401  # a part of a JSON schema
    found = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    for key in path:
        found = found[key]
    return found


POLICY_ARN = schema("AWS::IAM::Role", "properties", "ManagedPolicyArns", "items", "pattern")


@given(from_regex(aws_names.POLICY_ARN, fullmatch=True))
@options(max_examples=30, deadline=None)
def test_policies_fit_the_schema_of_roles(arn: str) -> None:
    assert re.fullmatch(POLICY_ARN, arn, re.ASCII)


def test_log_retention_is_that_of_the_schema() -> None:
    assert [*get_args(LOG_RETENTION_DAYS)] == schema("AWS::Logs::LogGroup", "properties", "RetentionInDays", "enum")


def shapes(service: str) -> Any:  # noqa: ANN401  # botocore's description of an API
    return create_loader().load_service_model(service, "service-2")["shapes"]


def test_limits_are_those_of_the_services() -> None:
    limit = shapes("wafv2")["RateLimit"]
    field = Settings.model_json_schema()["properties"]["requests_per_address"]
    assert (field["minimum"], field["maximum"]) == (limit["min"], limit["max"])
    keys, values = shapes("iam")["tagKeyType"], shapes("iam")["tagValueType"]
    assert (keys["max"], values["max"]) == (aws_names.LONGEST_TAG_KEY, aws_names.LONGEST_TAG_VALUE)


@given(from_regex(aws_names.TAG_TEXT, fullmatch=True))
@options(max_examples=30, deadline=None)
def test_tags_have_letters_digits_and_what_else_iam_takes(text: str) -> None:
    # AWS's pattern, [\p{L}\p{Z}\p{N}_.:/=+\-@]*, is none of Python's.
    assert all(character.isalnum() or character in " _.:/=+-@" for character in text)


REPOSITORY_NAME = shapes("ecr")["RepositoryName"]["pattern"]


PARTS = r"\A[A-Za-z][A-Za-z0-9]{0,9}(-[A-Za-z0-9]{1,9}){0,2}\Z"


@given(from_regex(PARTS), from_regex(PARTS))
@options(max_examples=30, deadline=None)
def test_names_made_of_the_stacks_are_taken_by_cloudformation_and_ecr(code: str, environment: str) -> None:
    assert aws_names.STACK_NAME_PART.fullmatch(code)
    assert aws_names.ENVIRONMENT.fullmatch(environment)
    stack = f"{code}-{environment}-load-balancer"
    assert re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]*", stack)
    assert len(stack) <= aws_names.LONGEST_STACK_NAME
    assert re.fullmatch(REPOSITORY_NAME, f"{stack}-repository-1a2b3c".lower())


def test_every_type_of_a_known_family_is_in_ec2() -> None:
    assert instance_types.exists("m7i.large")
    assert not instance_types.exists("m7i.3xlarge")


# --- Regions


@pytest.mark.parametrize(
    ("region", "partition", "images", "groups"),
    [
        ("eu-west-1", "aws", "com.amazonaws", "com.amazonaws"),
        ("mx-central-1", "aws", "com.amazonaws", "com.amazonaws"),
        ("us-gov-west-1", "aws-us-gov", "com.amazonaws", "com.amazonaws"),
        ("cn-northwest-1", "aws-cn", "cn.com.amazonaws", "cn.com.amazonaws"),
        ("eusc-de-east-1", "aws-eusc", "eu.amazonaws", "com.amazonaws"),
        ("us-iso-east-1", "aws-iso", "gov.ic.c2s", "com.amazonaws"),
        ("us-isob-east-1", "aws-iso-b", "gov.sgov.sc2s", "com.amazonaws"),
        ("eu-isoe-west-1", "aws-iso-e", "uk.adc-e.cloud", "com.amazonaws"),
        ("us-isof-south-1", "aws-iso-f", "gov.ic.hci.csp", "com.amazonaws"),
    ],
)
def test_regions_of_every_partition(region: str, partition: str, images: str, groups: str) -> None:
    assert regions.problem_of(region) is None
    assert regions.partition(region) == partition
    assert regions.endpoint_prefix(region, "ecr.api") == regions.endpoint_prefix(region, "ecr.dkr") == images
    assert regions.endpoint_prefix(region, "autoscaling") == groups
    assert regions.endpoint_prefix(region, "ecs") == "com.amazonaws"
    assert find_problems(settings(region=region, instance_types=["t3.micro"])) == {}


def test_endpoints_have_the_names_of_their_region() -> None:
    found = {
        region: {
            item["ServiceName"]["Fn::Sub"]
            for item in changed(region=region, egress="endpoints").of_type("vpc", "AWS::EC2::VPCEndpoint").values()
        }
        for region in ("eu-west-1", "cn-north-1")
    }
    assert "com.amazonaws.${AWS::Region}.ecr.api" in found["eu-west-1"]
    assert "cn.com.amazonaws.${AWS::Region}.ecr.api" in found["cn-north-1"]
    assert "com.amazonaws.${AWS::Region}.s3" in found["cn-north-1"]


@pytest.mark.parametrize(
    ("region", "principal"), [("eu-west-1", "ec2.amazonaws.com"), ("cn-north-1", "ec2.amazonaws.com.cn")]
)
def test_machines_get_their_role_by_the_name_that_ec2_has_there(region: str, principal: str) -> None:
    layers = changed(region=region, egress="nat_instance")
    for layer, role in (("machines", "Role"), ("vpc", "NatRole")):
        (statement,) = layers.properties(layer, role)["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": principal}


@pytest.mark.parametrize("key", ["certificate_arn", "secrets", "secret_key_arns", "task_policy_arns"])
def test_arns_are_of_the_regions_partition(key: str) -> None:
    id_ = "12345678-1234-1234-1234-123456789012"
    arns = {
        "certificate_arn": f"arn:aws-cn:acm:eu-west-1:123456789012:certificate/{id_}",
        "secrets": {"A": "arn:aws-cn:ssm:eu-west-1:123456789012:parameter/a"},
        "secret_key_arns": [f"arn:aws-cn:kms:eu-west-1:123456789012:key/{id_}"],
        "task_policy_arns": ["arn:aws-cn:iam::aws:policy/ReadOnlyAccess"],
    }
    problems = find_problems(settings(**{key: arns[key]}))
    assert list(problems) == [key]
    assert "partition aws of eu-west-1" in problems[key]


# --- What CloudFormation names after the stack


@pytest.mark.parametrize("code", ["ecs-shop", "ECS1", "aws", "Fargate-x"])
def test_capacity_provider_has_a_name_that_ecs_takes(code: str) -> None:
    name = changed(project_code=code).properties("machines", "CapacityProvider")["Name"]["Fn::Sub"]
    assert not aws_names.is_reserved_for_capacity_providers(name)


def test_capacity_provider_is_unnamed_where_ecs_takes_the_stacks_name() -> None:
    # A name that comes with an update would replace the provider, which its tasks use.
    assert "Name" not in changed().properties("machines", "CapacityProvider")


# --- Networks


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"vpc_cidr": "10.0.0.0/24", "subnet_host_bits": 5}, True),
        ({"subnet_host_bits": 5, "max_machines": 54, "max_tasks": 4}, True),
        ({"subnet_host_bits": 5, "max_machines": 55, "max_tasks": 4}, False),
        ({"subnet_host_bits": 5, "max_machines": 55, "availability_zones": 3}, True),
        ({"subnet_host_bits": 5, "max_machines": 32, "egress": "endpoints"}, True),
        ({"subnet_host_bits": 5, "max_machines": 33, "egress": "endpoints"}, False),
        ({"subnet_host_bits": 5, "max_machines": 38, "load_balancer_scheme": "internal"}, True),
        ({"subnet_host_bits": 5, "max_machines": 39, "load_balancer_scheme": "internal"}, False),
        (
            {"subnet_host_bits": 5, "max_machines": 17, "egress": "endpoints", "load_balancer_scheme": "internal"},
            False,
        ),
    ],
)
def test_subnets_have_room_for_all_that_has_an_address(changes: dict[str, Any], fits: bool) -> None:
    problems = find_problems(settings(**changes))
    assert list(problems) == ([] if fits else ["subnet_host_bits"])


def test_an_endpoint_is_counted_for_each_service() -> None:
    endpoints = changed(egress="endpoints").of_type("vpc", "AWS::EC2::VPCEndpoint").values()
    assert sum(item["VpcEndpointType"] == "Interface" for item in endpoints) <= networks.ENDPOINTS


# --- Policies


def test_as_many_secrets_as_fit_a_policy() -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/a-setting-with-a-long-name-{:03}-AbCdEf"
    some = {f"A{n}": arn.format(n) for n in range(60)}
    parts = {f"B{n}": f"{arn.format(1)}:key{n}::" for n in range(300)}
    assert find_problems(settings(secrets=some)) == {}
    assert find_problems(settings(secrets=parts)) == {}
    many = {f"A{n}": arn.format(n) for n in range(120)}
    assert list(find_problems(settings(secrets=many))) == ["secrets"]


def test_variables_fit_a_task_definition_and_origins_a_parameter() -> None:
    assert find_problems(settings(environment_variables={"A": "x" * 60_000})) == {}
    assert list(find_problems(settings(environment_variables={"A": "é" * 31_000}))) == ["environment_variables"]
    origins = ",".join(f"https://a{number}.example.com" for number in range(200))
    assert list(find_problems(settings(cors_origins=origins))) == ["cors_origins"]

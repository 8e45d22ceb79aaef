"""What is read of a deployed environment, and where one stands under a former name."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from spotfleet.stacks import account, deployed_environment, former_names
from spotfleet.stacks.living_changes import Deployed
from tests.support import answers
from tests.support.answers import EPOCH, answering
from tests.support.stacks import Aws, client_error, make_stack

TAG = {"Key": "Environment", "Value": "dev"}
NETWORK = {
    **{"VpcCidr": "10.0.0.0/16", "SubnetHostBits": "12"},
    "outputs": {"PublicSubnetIds": "subnet-1,subnet-2,subnet-3"},
}
BALANCER = {
    **{"PublicSubnetIds": "subnet-1,subnet-2", "IdleTimeoutSeconds": "60", "TlsPolicy": "x"},
    "outputs": {"LoadBalancerUrl": "https://app.example.com", "UsedZones": "2"},
}
SERVICE = {"CpuArchitecture": "X86_64", "ListenerPriority": "100", "Image": "registry/web@sha256:1", "outputs": {}}
CLUSTER = {"outputs": {"RepositoryUri": "registry/web"}}
LAUNCHED: dict[str, dict[str, Any]] = {
    **{"vpc": NETWORK, "load-balancer": BALANCER, "cluster": CLUSTER, "machines": {"ImageId": "ami-1", "outputs": {}}},
    "service": SERVICE,
}
DENIED = "AccessDenied"


def read(
    stacks: dict[str, dict[str, Any]], body: str = "Resources: {}", status: str = "UPDATE_COMPLETE", *further: str
) -> Deployed:
    """Return what is read where these stacks are deployed; each has its parameters, and outputs under that name."""

    def describe(kwargs: dict[str, Any]) -> dict[str, Any]:
        name = kwargs["StackName"].removeprefix("spotfleet-dev-")
        if name not in stacks:
            raise client_error("ValidationError", "Stack with id x does not exist")
        found = dict(stacks[name])
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in found.pop("outputs", {}).items()]
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in found.items()]
        return {"Stacks": [answers.stack(status, Parameters=parameters, Outputs=outputs)]}

    def template(_: dict[str, Any]) -> dict[str, Any]:
        if body == DENIED:
            raise client_error(DENIED)
        return {"TemplateBody": body}

    pushed = [{"imageTags": [f"service_{n}"], "imageDigest": f"sha256:{n}", "imagePushedAt": n} for n in (1, 2)]
    known: dict[str, Any] = {
        "cloudformation.describe_stacks": describe,
        "cloudformation.get_template": template,
        "ecr.describe_images": lambda _: {"imageDetails": pushed},
    }
    # From any of the stacks, whichever is launched first.
    return deployed_environment.read(make_stack("dev/cluster", Aws(known)), list(further))


def test_everything_that_is_deployed_is_read() -> None:
    assert read(LAUNCHED, "Ipv6Network:\n    Type: AWS::EC2::VPCCidrBlock") == Deployed(
        vpc_cidr="10.0.0.0/16",
        subnet_host_bits=12,
        availability_zones=3,
        ipv6=True,
        load_balancer_scheme="internet-facing",
        used_zones={"load-balancer": 2, "machines": 3},
        has_https=True,
        answers_https=True,
        idle_timeout_seconds=60,
        cpu_architecture="x86_64",
        listener_priorities={"service": 100},
        needed_images={"service": 2},
        machine_images={"machines": "ami-1"},
    )


def test_a_first_launch_finds_nothing() -> None:
    assert read({}) == Deployed()


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "REVIEW_IN_PROGRESS"])
def test_what_was_never_created_is_in_nobodys_way(status: str) -> None:
    assert read(LAUNCHED, status=status) == Deployed()


def test_an_environment_that_may_not_be_described_is_not_taken_for_a_new_one() -> None:
    def denied(_: dict[str, Any]) -> dict[str, Any]:
        raise client_error(DENIED)

    stack = make_stack("dev/vpc", Aws({"cloudformation.describe_stacks": denied}))
    with pytest.raises(ClientError, match=DENIED):
        deployed_environment.read(stack, [])


def test_a_template_that_nobody_may_read_leaves_ipv6_open() -> None:
    assert read(LAUNCHED, DENIED).ipv6 is None


def test_https_that_is_being_left_is_there_and_answers_nothing() -> None:
    balancer = BALANCER | {"outputs": {"LoadBalancerUrl": "http://app.example.com"}}
    found = read(LAUNCHED | {"load-balancer": balancer})
    assert (found.has_https, found.answers_https) == (True, False)


def test_machines_of_an_older_version_tell_their_architecture() -> None:
    path = "/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id"
    assert read({"machines": {"ImageId": path}}).cpu_architecture == "arm64"
    assert read({"machines": {"ImageId": "ami-1"}}).cpu_architecture is None


class Regions:
    """Clients of CloudFormation: some Regions have stacks, the others refuse."""

    def __init__(self, **stacks: list[dict[str, Any]]) -> None:
        self.stacks = {name.replace("_", "-"): found for name, found in stacks.items()}

    def client(self, _stack: object, _service: str, region_name: str = "eu-west-1", **_more: object) -> Any:  # noqa: ANN401  # as boto3
        """Return a client of a Region."""
        return answering("cloudformation", Region(self.stacks.get(region_name)))


class Region:
    """What CloudFormation answers in one Region."""

    def __init__(self, stacks: list[dict[str, Any]] | None) -> None:
        self.stacks = stacks

    def describe_stacks(self, StackName: str | None = None) -> dict[str, Any]:  # noqa: N803  # AWS's name
        """Describe one stack, or all of them."""
        if self.stacks is None:
            raise client_error("InvalidClientTokenId")
        found = [stack for stack in self.stacks if StackName in {None, stack["StackName"]}]
        if not found:
            raise client_error("ValidationError", "does not exist")
        return {"Stacks": found}


def standing(name: str, region: str = "eu-west-1", environment: str = "dev") -> dict[str, Any]:
    tags = [{"Key": "Environment", "Value": environment}]
    made = {"CreationTime": EPOCH, "StackStatus": "CREATE_COMPLETE", "Tags": tags}
    return {"StackName": name, "StackId": f"arn:aws:cloudformation:{region}:1:stack/{name}/1", **made}


def test_an_environment_under_its_former_names_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    here = [standing("shop-dev-vpc"), standing("shop-pre-dev-vpc", environment="pre-dev"), standing("x-dev-cluster")]
    there = [standing("spotfleet-dev-vpc", "us-west-2")]
    monkeypatch.setattr(account, "client", Regions(eu_west_1=here, us_west_2=there).client)
    by_code, by_region = former_names.remarks(make_stack("dev/vpc", Aws({})), "dev")
    assert "of project_code shop stands in this account and Region" in by_code
    assert "spotfleet-dev-vpc stands in us-west-2" in by_region


def test_regions_that_do_not_answer_and_endpoints_that_answer_for_all_are_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everywhere = {"us_east_1": [standing("spotfleet-dev-vpc")], "us_west_2": [standing("spotfleet-dev-vpc")]}
    monkeypatch.setattr(account, "client", Regions(**everywhere).client)
    assert list(former_names.remarks(make_stack("dev/vpc", Aws({})), "dev")) == []

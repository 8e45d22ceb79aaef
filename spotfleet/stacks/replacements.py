"""Which resources CloudFormation would replace, and which of them nobody may lose: decisions only.

A property that AWS's resource schema calls create-only makes a new resource beside the old one
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html).
A reference to another resource that is replaced is a change as well; it is the other one that is named.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from spotfleet.stacks.template_content import Content, resources

# What a parameter has whose value another stack or a registry gives: it is not known before the launch.
UNKNOWN = "(known at the launch)"

# What is lost with a resource of these types, by what it is for others.
LOSSES = {
    "AWS::AutoScaling::AutoScalingGroup": "all machines would go at once, with the tasks on them",
    "AWS::EC2::SecurityGroup": "what other stacks run stays in the old one, which CloudFormation cannot delete",
    "AWS::EC2::Subnet": "load balancer and machines stand in the old one, which CloudFormation cannot delete",
    "AWS::EC2::VPC": "load balancer and machines would stay in the old one",
    "AWS::EC2::VPCCidrBlock": "load balancer and machines have addresses of the old network",
    "AWS::EC2::VPCGatewayAttachment": "nothing would come in or go out meanwhile",
    "AWS::ECR::Repository": "the images that run would be deleted with the old one",
    "AWS::ECS::CapacityProvider": "the services that use the old one keep it from being deleted",
    "AWS::ECS::Cluster": "services and machines would stay in the old one",
    "AWS::ECS::Service": "a new one begins with a single task, and the old one goes with all of its",
    "AWS::ElasticLoadBalancingV2::Listener": "the services' rules would go with the old one",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "the new one has another name, and nothing answers until each service "
    "is updated",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "requests would go to an empty one until the tasks are replaced",
    "AWS::Logs::LogGroup": "what was logged would be deleted with the old one",
    "AWS::S3::Bucket": "what was stored would stay in the old one",
    "AWS::SNS::Topic": "those who subscribed to the old one would hear nothing",
}

# Types whose replacement costs nothing, or what the README says of it.
HARMLESS = {
    "AWS::ApplicationAutoScaling::ScalableTarget": "the service keeps its number of tasks meanwhile",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "scaling waits for the new one's alarms",
    "AWS::AutoScaling::ScalingPolicy": "scaling waits for the new one's alarms",
    "AWS::CertificateManager::Certificate": "the listener takes the new one once it is validated",
    "AWS::CloudWatch::Alarm": "the new one judges from its first value on",
    "AWS::CloudWatch::Dashboard": "it has no data of its own",
    "AWS::EC2::EIP": "what leaves has another address, as with each change of egress",
    "AWS::EC2::EgressOnlyInternetGateway": "the new one is there before its routes are changed",
    "AWS::EC2::FlowLog": "the new one records before the old one ends",
    "AWS::EC2::Instance": "the NAT instance, of which !replaced_machines speaks",
    "AWS::EC2::InternetGateway": "it has no such property",
    "AWS::EC2::LaunchTemplate": "machines are replaced one after the other, of which !replaced_machines speaks",
    "AWS::EC2::NatGateway": "the new one is there before its routes are changed",
    "AWS::EC2::Route": "a change of egress, which the README allows: open connections drop",
    "AWS::EC2::RouteTable": "the new one is there before subnets take it",
    "AWS::EC2::SecurityGroupIngress": "the new rule allows before the old one goes",
    "AWS::EC2::SubnetRouteTableAssociation": "a change of egress, which the README allows: open connections drop",
    "AWS::EC2::VPCEndpoint": "a change of egress; one that cannot stand beside the old one is rolled back",
    "AWS::ECS::ClusterCapacityProviderAssociations": "it is only another cluster's",
    "AWS::ECS::TaskDefinition": "a revision, which a rolling deployment takes",
    "AWS::ElasticLoadBalancingV2::ListenerRule": "the new rule answers before the old one goes: HTTPS comes this way",
    "AWS::Events::Rule": "the new rule listens before the old one goes",
    "AWS::IAM::InstanceProfile": "machines are replaced one after the other, as role_path says",
    "AWS::IAM::Role": "the new one is there before it is used",
    "AWS::Route53::RecordSet": "the new record is there before the old one goes",
    "AWS::S3::BucketPolicy": "it goes with its bucket",
    "AWS::SNS::Subscription": "another address, which has to confirm: alarm_email",
    "AWS::SNS::TopicPolicy": "it has no such property",
    "AWS::WAFv2::LoggingConfiguration": "it goes with its firewall",
    "AWS::WAFv2::WebACL": "the new one is there before the load balancer takes it",
    "AWS::WAFv2::WebACLAssociation": "it goes with its firewall",
}

# Of which settings' refusals say the same, with their own safe way.
SPOKEN_FOR = {
    ("AWS::EC2::VPC", "CidrBlock"): {"vpc_cidr"},
    ("AWS::EC2::Subnet", "CidrBlock"): {"vpc_cidr", "subnet_host_bits"},
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "Scheme"): {"load_balancer_scheme"},
}


@dataclass(frozen=True)
class Version:
    """A stack's template and the values of its parameters."""

    template: Content
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Replacement:
    """A resource that would be replaced, and the property that does it; `before` and `after` are its values."""

    layer: str
    resource: str
    kind: str
    property: str
    before: str
    after: str


def replacements(layer: str, deployed: Version, wanted: Version) -> Iterator[Replacement]:
    """Yield each create-only property that differs between two versions of a stack, of resources that are in both."""
    before = resources(deployed.template, deployed.parameters)
    after = resources(wanted.template, wanted.parameters)
    for name, old in before.items():
        new = after.get(name)
        if new is None or new.get("Type") != old.get("Type"):
            continue
        for path in _create_only().get(old["Type"], []):
            was, now = _value(old, path), _value(new, path)
            if was != now and UNKNOWN not in f"{was}{now}":
                yield Replacement(layer, name, old["Type"], path.replace("/", "."), _shown(was), _shown(now))


def refusals(found: Collection[Replacement], spoken: Collection[str], elsewhere: str) -> Iterator[str]:
    """Yield why a launch must not be, for each resource that may not be lost, in one line with the way out.

    `spoken` are the settings of which another refusal speaks already; `elsewhere` is how to move to an environment
    beside this one.
    """
    for one in found:
        # Said of the whole property already.
        if any(one.property.startswith(f"{other.property}.") and one.resource == other.resource for other in found):
            continue
        loss = LOSSES.get(one.kind)
        if loss and not SPOKEN_FOR.get((one.kind, one.property), set()) & set(spoken):
            yield (
                f"{one.layer}: {one.resource} ({one.kind}) would be replaced by a new one, as its {one.property} "
                f"changes, {one.before} -> {one.after}: {loss}; take the change back, or {elsewhere}"
            )


def _value(resource: Content, path: str) -> Any:  # noqa: ANN401  # any JSON
    value: Any = resource.get("Properties") or {}
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _shown(value: Any) -> str:  # noqa: ANN401  # any JSON
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


@cache
def _create_only() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(
        files("spotfleet.facts").joinpath("create_only_properties.json").read_text()
    )
    return found

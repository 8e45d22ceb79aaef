"""Reads from CloudFormation and ECR what an environment is now."""

import json
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError
from sceptre.stack import Stack

from spotfleet.stacks import kept_images, stack_state
from spotfleet.stacks.living_changes import FIRST_SERVICE, Deployed

Values = dict[str, str]
LAYERS = ("vpc", "load-balancer", "cluster", "machines")
# By layer the parameter with the machine image of its machines.
IMAGE_PARAMETERS = {"machines": "ImageId", "vpc": "NatImageId"}


def read(stack: Stack, services: list[str]) -> Deployed:
    """Return what is deployed of the environment that a stack is of; `services` are its further ones.

    What is not there is left open, and so is what only a template or the repository tells and a role may not read.
    Raises ClientError where not even the stacks may be described: an environment must not be taken for a new one.
    """
    descriptions = {name: _describe(stack, name) for name in (*LAYERS, FIRST_SERVICE, *services)}
    parameters = {name: _values(found, "Parameter") for name, found in descriptions.items()}
    outputs = {name: _values(found, "Output") for name, found in descriptions.items()}
    running = {name: parameters[name] for name in (FIRST_SERVICE, *services)}
    balancer, network = parameters["load-balancer"], parameters["vpc"]
    subnets = outputs["vpc"].get("PublicSubnetIds")
    zones = len(subnets.split(",")) if subnets else None
    has_https = "TlsPolicy" in balancer if balancer else None
    return Deployed(
        vpc_cidr=network.get("VpcCidr"),
        subnet_host_bits=_number(network.get("SubnetHostBits")),
        availability_zones=zones,
        ipv6=_has_ipv6(stack, bool(network)),
        load_balancer_scheme=_scheme(balancer),
        used_zones={
            name: _number(outputs[name].get("UsedZones")) or zones or 0
            for name in ("load-balancer", "machines")
            if parameters[name]
        },
        has_https=has_https,
        answers_https=has_https and outputs["load-balancer"].get("LoadBalancerUrl", "https:").startswith("https:"),
        idle_timeout_seconds=_number(balancer.get("IdleTimeoutSeconds")),
        cpu_architecture=_architecture(running.values(), parameters["machines"]),
        listener_priorities={
            name: int(found["ListenerPriority"]) for name, found in running.items() if "ListenerPriority" in found
        },
        needed_images=_needed_images(stack, outputs["cluster"].get("RepositoryUri"), descriptions, list(running)),
        machine_images={
            layer: image
            for layer, name in IMAGE_PARAMETERS.items()
            if (image := parameters[layer].get(name, "")).startswith("ami-")
        },
    )


def name_of(stack: Stack, layer: str) -> str:
    """Return the name that CloudFormation has for another stack of the same environment."""
    own = stack.name.rpartition("/")[2]
    return f"{stack.external_name.removesuffix(own)}{layer}"


def _describe(stack: Stack, layer: str) -> dict[str, Any]:
    """Return CloudFormation's description of a stack, or nothing where there is none or a creation that failed."""
    found = stack_state.describe(stack, name_of(stack, layer))
    return {} if found["StackStatus"] in {stack_state.ABSENT, *stack_state.NEVER_CREATED} else found


def _values(description: dict[str, Any], kind: str) -> Values:
    return {one[f"{kind}Key"]: str(one.get(f"{kind}Value", "")) for one in description.get(f"{kind}s", [])}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _has_ipv6(stack: Stack, is_deployed: bool) -> bool | None:
    if not is_deployed:
        return None
    try:
        answer = stack.connection_manager.call(
            service="cloudformation", command="get_template", kwargs={"StackName": name_of(stack, "vpc")}
        )
    except ClientError:
        return None
    body = answer["TemplateBody"]
    return "AWS::EC2::VPCCidrBlock" in (body if isinstance(body, str) else json.dumps(body, default=str))


def _scheme(balancer: Values) -> str | None:
    if "PublicSubnetIds" in balancer:
        return "internet-facing"
    return "internal" if "PrivateSubnetIds" in balancer else None


def _architecture(services: Iterable[Values], machines: Values) -> str | None:
    for found in services:
        if "CpuArchitecture" in found:
            return found["CpuArchitecture"].lower()
    if "ImageId" not in machines:
        return None
    # Machines alone, without a service: their image is named by a parameter's path.
    path = machines["ImageId"]
    return None if path.startswith("ami-") else ("arm64" if "/arm64/" in path else "x86_64")


def _needed_images(
    stack: Stack, repository_uri: str | None, descriptions: dict[str, dict[str, Any]], services: list[str]
) -> dict[str, int]:
    running = {name: kept_images.running_digest(descriptions[name]) for name in services}
    if not repository_uri or not any(running.values()):
        return {}
    try:
        pushed = kept_images.pushed(stack, repository_uri)
    except ClientError:
        return {}
    newest = {name: kept_images.newest_first(pushed, name) for name in services}
    return {name: newest[name].index(digest) + 1 for name, digest in running.items() if digest in newest[name]}

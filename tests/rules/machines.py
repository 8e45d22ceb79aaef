"""Rules 30 to 41: the machines."""

import re
from collections.abc import Iterator
from typing import Any

from spotfleet.facts import instance_types
from tests.rules.rule import Rule, is_false, is_true, properties, resources, texts, value
from tests.support.rendered import Json, Layers

GROUP = "AWS::AutoScaling::AutoScalingGroup"
TEMPLATE = "AWS::EC2::LaunchTemplate"
INSTANCE = "AWS::EC2::Instance"
PROVIDER = "AWS::ECS::CapacityProvider"
IMAGE_PATH = re.compile(
    r"/aws/service/(ecs/optimized-ami/amazon-linux-2023/(?P<arm>arm64/)?recommended/image_id"
    r"|ami-amazon-linux-latest/al2023-ami-kernel-default-(?P<plain>\w+))"
)
LEAST_RESERVED_MIB = 200
COMPLETES = "CompleteLifecycleAction&LifecycleActionResult=CONTINUE&LifecycleHookName="
ALL = 100  # percent
SUBSTITUTION = re.compile(r"\$\{(?!!)[\w:.]+\}")


def _launched_types(layers: Layers) -> set[str]:
    return {
        override["InstanceType"]
        for _, group in properties(layers, GROUP)
        for override in value(group, "MixedInstancesPolicy.LaunchTemplate.Overrides", [])
        if "InstanceType" in override
    }


def _machines(layers: Layers) -> Iterator[tuple[str, Json]]:
    """Yield what each launch template, and each machine without one, says of its machine."""
    for name, template in properties(layers, TEMPLATE):
        yield name, template["LaunchTemplateData"]
    yield from properties(layers, INSTANCE)


def _image_and_types_are_of_one_architecture(layers: Layers) -> Iterator[str]:
    fleet = "arm64" if layers["machines"]["Sceptre"]["settings"]["cpu_architecture"] == "arm64" else "x86_64"
    for name, data in _machines(layers):
        image = data.get("ImageId")
        found = IMAGE_PATH.fullmatch(value(image, "Newest", ""))
        if found is None:
            yield f"{name} has the image {image}, not the newest Amazon Linux 2023"
            continue
        if name.startswith("machines."):
            architecture = "arm64" if found["arm"] else "x86_64"
            wrong = {kind for kind in _launched_types(layers) if instance_types.architecture(kind) != architecture}
            if wrong or architecture != fleet:
                yield f"{name} has an image for {architecture} and types {', '.join(sorted(wrong)) or 'for ' + fleet}"
    for name, task in properties(layers, "AWS::ECS::TaskDefinition"):
        if str(value(task, "RuntimePlatform.CpuArchitecture")).lower() != fleet:
            yield f"{name} is for {value(task, 'RuntimePlatform.CpuArchitecture')}, the machines are {fleet}"


def _image_can_be_pinned(layers: Layers) -> Iterator[str]:
    for layer, template in layers.items():
        for name, parameter in template["Parameters"].items():
            if name.endswith("ImageId") and parameter["Type"] != "AWS::EC2::Image::Id":
                yield f"{layer}.{name} has the type {parameter['Type']}, so that any update can bring a newer image"
    for name, data in _machines(layers):
        if str(data.get("ImageId")).startswith("ami-"):
            yield f"{name} has an image that no configuration can change"


def _scripts(layers: Layers) -> Iterator[tuple[str, str]]:
    """Yield each machine's user data as the shell sees it."""
    for name, data in _machines(layers):
        yield name, "\n".join(texts(data.get("UserData")))


def _scripts_use_what_the_image_has(layers: Layers) -> Iterator[str]:
    for name, script in _scripts(layers):
        for tool in ("cfn-init", "cfn-hup"):
            if tool in script:
                yield f"{name} calls {tool}"
        signal, install = script.find("/opt/aws/bin/cfn-signal"), script.find("aws-cfn-bootstrap")
        in_trap = script.find("trap '/opt/aws/bin/cfn-signal") == signal - len("trap '") and signal >= 0
        if signal >= 0 and (install < 0 or (install > signal and not in_trap)):
            yield f"{name} calls cfn-signal without installing aws-cfn-bootstrap"


def _substitutions_happen(layers: Layers) -> Iterator[str]:
    for layer, template in layers.items():
        for name, resource in template["Resources"].items():
            for text in _texts_outside_sub(resource):
                if SUBSTITUTION.search(text):
                    yield f"{layer}.{name} has {SUBSTITUTION.search(text)[0]} outside Fn::Sub"  # type: ignore[index]


def _texts_outside_sub(node: Any) -> Iterator[str]:  # noqa: ANN401  # any JSON
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for item in node:
            yield from _texts_outside_sub(item)
    elif isinstance(node, dict):
        for key, item in node.items():
            if key != "Fn::Sub":
                yield from _texts_outside_sub(item)


def _somebody_signals(layers: Layers) -> Iterator[str]:
    scripts = dict(_scripts(layers))
    for name, resource in resources(layers, GROUP, INSTANCE):
        waits = value(resource, "CreationPolicy.ResourceSignal") is not None
        waits |= is_true(value(resource, "UpdatePolicy.AutoScalingRollingUpdate.WaitOnResourceSignals"))
        logical_id = name.partition(".")[2]
        if waits and not any(f"--resource {logical_id}" in script for script in scripts.values()):
            yield f"{name} waits for signals that no machine sends"
    fleet = "\n".join(script for name, script in scripts.items() if name.startswith("machines."))
    for name, group in properties(layers, GROUP):
        hooks = [
            hook
            for hook in group.get("LifecycleHookSpecificationList", [])
            if hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_LAUNCHING"
        ]
        if not layers[name.partition(".")[0]]["Sceptre"]["stack_timeout"]:
            yield f"{name} waits for its first machines without stack_timeout"
        if not hooks:
            yield f"{name} takes a machine for one of use before its agent has joined"
        for hook in hooks:
            if f"{COMPLETES}{hook['LifecycleHookName']}&" not in fleet:
                yield f"{name} holds machines by {hook['LifecycleHookName']}, which none completes"
            if hook.get("DefaultResult", "ABANDON") != "ABANDON":
                yield f"{name} lets machines into service that have not joined"


def _new_template_replaces_the_machines(layers: Layers) -> Iterator[str]:
    for name, group in resources(layers, GROUP):
        rolling = value(group, "UpdatePolicy.AutoScalingRollingUpdate")
        refresh = value(group, "UpdatePolicy.AutoScalingInstanceRefresh")
        overrides = value(group, "Properties.MixedInstancesPolicy.LaunchTemplate.Overrides", [])
        by_attributes = any("InstanceRequirements" in override for override in overrides)
        if rolling is None and refresh is None:
            yield f"{name} has neither AutoScalingInstanceRefresh nor AutoScalingRollingUpdate"
        if rolling is not None and int(rolling.get("MinInstancesInService", 0)) >= int(group["Properties"]["MaxSize"]):
            yield f"{name} has MinInstancesInService {rolling['MinInstancesInService']}, as many as MaxSize"
        if refresh is not None:
            preferences = refresh.get("Preferences", {})
            if by_attributes:
                yield f"{name} is refreshed, which fails with InstanceRequirements"
            if int(preferences.get("MinHealthyPercentage", 0)) < ALL:
                yield f"{name} ends a machine before its successor is there"
            if not is_false(preferences.get("SkipMatching")):
                yield f"{name} skips machines in subnets that it has left"
        path = "Properties.MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.Version.Fn::GetAtt"
        if "LatestVersionNumber" not in (value(group, path) or []):
            yield f"{name} does not follow the launch template's latest version"


def _successor_comes_first(layers: Layers) -> Iterator[str]:
    for name, group in properties(layers, GROUP):
        least = value(group, "InstanceMaintenancePolicy.MinHealthyPercentage", 0)
        most = value(group, "InstanceMaintenancePolicy.MaxHealthyPercentage", 0)
        if int(least) < 100 or int(most) <= 100:
            yield f"{name} ends a machine that is unhealthy or too old before its successor is there"
        elif int(most) - int(least) > 100:
            yield f"{name} keeps between {least} and {most} % of its machines, more than 100 apart"


def _agent_drains_on_a_spot_notice(layers: Layers) -> Iterator[str]:
    for name, script in _scripts(layers):
        if name.startswith("machines.") and "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" not in script.splitlines():
            yield f"{name} does not set ECS_ENABLE_SPOT_INSTANCE_DRAINING"


def _rebalancing_drains(layers: Layers) -> Iterator[str]:
    draining = {value(item, "AutoScalingGroupProvider.ManagedDraining") for _, item in properties(layers, PROVIDER)}
    for name, group in properties(layers, GROUP):
        if is_true(group.get("CapacityRebalance")) and draining != {"ENABLED"}:
            yield f"{name} has CapacityRebalance without managed draining"


def _spot_is_used_and_chosen_well(layers: Layers) -> Iterator[str]:
    for name, group in properties(layers, GROUP):
        spread = value(group, "MixedInstancesPolicy.InstancesDistribution", {})
        if spread.get("SpotAllocationStrategy") != "price-capacity-optimized":
            yield f"{name} has SpotAllocationStrategy {spread.get('SpotAllocationStrategy')}"
        if "OnDemandPercentageAboveBaseCapacity" not in spread:
            yield f"{name} has no OnDemandPercentageAboveBaseCapacity, which means no Spot machines"
        if "SpotMaxPrice" in spread:
            yield f"{name} has a SpotMaxPrice"


def _may_be_burstable(layers: Layers, name: str, data: Json) -> bool:
    kinds = _launched_types(layers) if name.startswith("machines.") else {str(data.get("InstanceType"))}
    return any(map(instance_types.is_burstable, kinds))


def _burstable_machines_are_not_slow_unnoticed(layers: Layers) -> Iterator[str]:
    for name, data in _machines(layers):
        # A launch template spells it CpuCredits, a machine CPUCredits.
        credits_ = next(iter(data.get("CreditSpecification", {}).values()), "left out")
        wanted = _setting(layers, "cpu_credits", "unlimited") if name.startswith("machines.") else "unlimited"
        if _may_be_burstable(layers, name, data) and credits_ != wanted:
            yield f"{name} has CpuCredits {credits_}, not {wanted}"
    metrics = {alarm.get("MetricName") for _, alarm in properties(layers, "AWS::CloudWatch::Alarm")}
    is_standard = _setting(layers, "cpu_credits", "unlimited") == "standard"
    watched = "CPUCreditBalance" if is_standard else "CPUSurplusCreditsCharged"
    for name, data in properties(layers, TEMPLATE):
        burstable = _may_be_burstable(layers, name, data["LaunchTemplateData"])
        if burstable and _setting(layers, "alarms", False) and watched not in metrics:
            yield f"{name} has burstable machines and no alarm on {watched}"


def _setting(layers: Layers, key: str, default: object) -> object:
    return layers["machines"]["Sceptre"]["settings"].get(key, default)


def _metadata_stays_on_the_machine(layers: Layers) -> Iterator[str]:
    for name, data in _machines(layers):
        options = data.get("MetadataOptions", {})
        if options.get("HttpTokens") != "required":
            yield f"{name} has HttpTokens {options.get('HttpTokens', 'left out')}, not required"
        if str(options.get("HttpPutResponseHopLimit")) != "1":
            yield f"{name} has HttpPutResponseHopLimit {options.get('HttpPutResponseHopLimit', 'left out')}, not 1"


def _scripts_do_not_wait_for_themselves(layers: Layers) -> Iterator[str]:
    for name, script in _scripts(layers):
        if re.search(r"systemctl (enable --now|start|restart) ecs", script):
            yield f"{name} starts ecs in its user data, which ecs waits for"
    for name, _ in resources(layers, "AWS::AutoScaling::WarmPool"):
        yield f"{name} keeps Spot machines warm, which AWS does not"


def _the_system_has_memory(layers: Layers) -> Iterator[str]:
    for name, script in _scripts(layers):
        for reserved in re.findall(r"ECS_RESERVED_MEMORY=(\d+)", script):
            if int(reserved) < LEAST_RESERVED_MIB:
                yield f"{name} leaves {reserved} MiB to system, Docker and agent"


def _region_has_the_types(layers: Layers) -> Iterator[str]:
    region = layers["machines"]["Sceptre"]["region"]
    missing = instance_types.missing_in(region, sorted(_launched_types(layers)))
    if missing:
        yield f"machines.AutoScalingGroup launches {', '.join(missing)}, which {region} does not have"


def _ec2_can_take_the_roles(layers: Layers) -> Iterator[str]:
    suffix = ".cn" if layers["machines"]["Sceptre"]["region"].startswith("cn-") else ""
    for name, role in properties(layers, "AWS::IAM::Role"):
        for principal in texts(value(role, "AssumeRolePolicyDocument.Statement.0.Principal", {})):
            if principal.startswith("ec2.") and principal != f"ec2.amazonaws.com{suffix}":
                yield f"{name} trusts {principal}"


RULES = [
    Rule(
        30,
        "the ECS image of Amazon Linux 2 has ended, and machine, image and task must be of one architecture",
        _image_and_types_are_of_one_architecture,
    ),
    Rule(
        31,
        "a public parameter is looked up at each update of its stack, so a release of the service would replace all "
        "machines whenever AWS has a newer image",
        _image_can_be_pinned,
    ),
    Rule(32, "the ECS image comes without the CloudFormation helper scripts", _scripts_use_what_the_image_has),
    Rule(33, "CloudFormation replaces ${…} within Fn::Sub only", _substitutions_happen),
    Rule(
        34,
        "a stack that waits for signals which nobody sends fails, and so does a machine that its group holds until "
        "somebody says that it is of use; https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html",
        _somebody_signals,
    ),
    Rule(
        35,
        "without a policy running machines keep the old launch template, and a replacement needs room; "
        "https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html",
        _new_template_replaces_the_machines,
    ),
    Rule(36, "the agent's draining on a Spot notice is off unless set", _agent_drains_on_a_spot_notice),
    Rule(37, "the agent hears nothing of a rebalancing, only managed draining does", _rebalancing_drains),
    Rule(
        38, "the defaults are the cheapest Spot pools and, beside them, no Spot at all", _spot_is_used_and_chosen_well
    ),
    Rule(
        39,
        "burstable machines start without credits, and without any they run at a tenth of their CPU while every "
        "figure says that they are idle; https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/"
        "burstable-performance-instances-standard-mode-concepts.html",
        _burstable_machines_are_not_slow_unnoticed,
    ),
    Rule(
        40,
        "with more than one hop or without tokens containers reach the credentials of their machine",
        _metadata_stays_on_the_machine,
    ),
    Rule(
        41,
        "ecs starts after the user data, so user data that waits for it never ends",
        _scripts_do_not_wait_for_themselves,
    ),
    Rule(
        101,
        "what the agent reserves is not taken from anyone, and system, Docker and agent use 200 MiB; "
        "https://github.com/aws/containers-roadmap/issues/536",
        _the_system_has_memory,
    ),
    Rule(
        102,
        "not every Region has every instance type; "
        "https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-regions.html",
        _region_has_the_types,
    ),
    Rule(
        103,
        "EC2 is another principal in China; https://docs.amazonaws.cn/en_us/aws/latest/userguide/iam.html",
        _ec2_can_take_the_roles,
    ),
    Rule(
        105,
        "by default Auto Scaling ends a machine that is unhealthy or too old as it launches the next, and a fleet of "
        "one has none meanwhile; https://docs.aws.amazon.com/autoscaling/ec2/userguide/"
        "instance-maintenance-policy-overview-and-considerations.html",
        _successor_comes_first,
    ),
]

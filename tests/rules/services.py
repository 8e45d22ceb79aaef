"""Rules 14 to 29: ECS services and their tasks."""

import math
from collections.abc import Iterator

from spotfleet.facts import instance_types
from tests.rules.rule import Rule, attributes, depends_on, is_true, properties, resources, texts, value
from tests.support.rendered import Json, Layers

SERVICE = "AWS::ECS::Service"
SCALING_POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"
TASK = "AWS::ECS::TaskDefinition"
GROUP = "AWS::AutoScaling::AutoScalingGroup"
RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
TARGET_GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
INGRESS = "AWS::EC2::SecurityGroupIngress"
HOST_PORTS = (32768, 65535)
WEB_PORTS = (80, 443)
# A Spot machine is gone this long after its notice; what is under way must end before.
SPOT_NOTICE_SECONDS = 120
DELAYS = range(20, 61)
SLOW_STARTS = range(30, 901)
FINE = 20  # seconds between two values of a metric
RESTART_PERIODS = range(60, 1801)
LEAST_TASKS_PER_MACHINE = 2
ALL = 100  # percent


def _network_mode_fits_small_machines(layers: Layers) -> Iterator[str]:
    for name, task in properties(layers, TASK):
        mode = task.get("NetworkMode")
        if mode != "bridge":
            yield f"{name} has NetworkMode {mode}: each task would take one of a small machine's two interfaces"
        for container in task["ContainerDefinitions"]:
            for port in container.get("PortMappings", []):
                if port.get("HostPort") != 0:
                    yield f"{name} has HostPort {port.get('HostPort')}, not 0: a machine would hold one task only"
    for name, group in properties(layers, TARGET_GROUP):
        if group.get("TargetType") != "instance":
            yield f"{name} has TargetType {group.get('TargetType')}, not instance"


def _load_balancer_reaches_every_host_port(layers: Layers) -> Iterator[str]:
    for name, machine in properties(layers, "AWS::EC2::LaunchTemplate"):
        groups = value(machine, "LaunchTemplateData.SecurityGroupIds", [])
        ways_in = [item for item in properties(layers, INGRESS) if item[1]["GroupId"] in groups]
        if not ways_in:
            yield f"{name} is in a group that lets nobody in"
        for logical_id, rule in ways_in:
            ports = (rule.get("FromPort"), rule.get("ToPort"))
            if ports != HOST_PORTS:
                yield f"{logical_id} lets ports {ports[0]} to {ports[1]} in, not {HOST_PORTS[0]} to {HOST_PORTS[1]}"
            source = value(layers["load-balancer"], f"Resources.{value(rule, 'SourceSecurityGroupId.Ref')}.Type")
            if not logical_id.startswith("load-balancer.") or source != "AWS::EC2::SecurityGroup":
                yield f"{logical_id} lets others than the load balancer in"
    for name, group in properties(layers, "AWS::EC2::SecurityGroup"):
        if name.endswith(".MachinesSecurityGroup") and "SecurityGroupIngress" in group:
            yield f"{name} lets others than the load balancer in"


def _machines_can_be_as_busy_as_scaling_waits_for(layers: Layers) -> Iterator[str]:
    ((_, group),) = properties(layers, GROUP)
    overrides = value(group, "MixedInstancesPolicy.LaunchTemplate.Overrides", [])
    units = [instance_types.cpu_units(item["InstanceType"]) for item in overrides if "InstanceType" in item]
    wanted = [value(item, "InstanceRequirements.VCpuCount.Min") for item in overrides]
    units += [int(vcpus) * instance_types.CPU_UNITS_PER_VCPU for vcpus in wanted if vcpus]
    for name, policy in properties(layers, "AWS::AutoScaling::ScalingPolicy"):
        target = float(value(policy, "TargetTrackingConfiguration.TargetValue", 0))
        for task_name, task in properties(layers, TASK):
            held = min(_tasks_per_machine(layers, task), min(units) // int(task["Cpu"]))
            most = 100 * held * int(task["Cpu"]) / min(units)
            if most <= target:
                yield f"{name} waits for {target:g} %, and {task_name} brings a machine to {most:g} %"


def _zones_are_rebalanced_where_machines_are(layers: Layers) -> Iterator[str]:
    ((_, group),) = properties(layers, GROUP)
    zones = int(layers["machines"]["Sceptre"]["settings"]["availability_zones"])
    for name, service in properties(layers, SERVICE):
        if service.get("AvailabilityZoneRebalancing") == "ENABLED" and int(group["MinSize"]) < zones:
            yield f"{name} rebalances {zones} zones, and {group['MinSize']} machines always run"


def _memory_of_the_smallest_machine(layers: Layers) -> int:
    """Return the MiB that tasks can reserve on the smallest machine that the group may launch."""
    ((_, group),) = properties(layers, GROUP)
    overrides = value(group, "MixedInstancesPolicy.LaunchTemplate.Overrides", [])
    sizes = [instance_types.memory_mib(item["InstanceType"]) for item in overrides if "InstanceType" in item]
    wanted = [value(item, "InstanceRequirements.MemoryMiB.Min") for item in overrides]
    sizes += [instance_types.after_kernel(int(size)) for size in wanted if size]
    reserved = [
        int(line.partition("=")[2])
        for text in texts(layers["machines"])
        for line in text.splitlines()
        if line.startswith("ECS_RESERVED_MEMORY=")
    ]
    return min(sizes) - sum(reserved)


def _tasks_per_machine(layers: Layers, task: Json) -> int:
    return _memory_of_the_smallest_machine(layers) // int(task["Memory"])


def _two_tasks_share_the_smallest_machine(layers: Layers) -> Iterator[str]:
    for name, task in properties(layers, TASK):
        held = _tasks_per_machine(layers, task)
        if held < LEAST_TASKS_PER_MACHINE:
            memory = _memory_of_the_smallest_machine(layers)
            yield f"{name} takes {task['Memory']} MiB of {memory}, so the smallest machine holds {held} of its tasks"


def _fleet_holds_a_deployment(layers: Layers) -> Iterator[str]:
    ((_, group),) = properties(layers, GROUP)
    machines_needed = 0
    for name, service in properties(layers, SERVICE):
        layer = {name.partition(".")[0]: layers[name.partition(".")[0]]}
        ((_, target),) = properties(layer, "AWS::ApplicationAutoScaling::ScalableTarget")
        ((_, task),) = properties(layer, TASK)
        percent = int(value(service, "DeploymentConfiguration.MaximumPercent"))
        most = int(target["MaxCapacity"]) * percent // 100
        machines_needed += math.ceil(most / max(1, _tasks_per_machine(layers, task)))
    if machines_needed > int(group["MaxSize"]):
        least = f"a deployment at full size needs {machines_needed}"
        yield f"machines.AutoScalingGroup has MaxSize {group['MaxSize']}; {least}"


def _scaling_decides_how_many_tasks(layers: Layers) -> Iterator[str]:
    for name, service in properties(layers, SERVICE):
        if "DesiredCount" in service:
            yield f"{name} has DesiredCount {service['DesiredCount']}"


def _scaling_uses_its_own_role(layers: Layers) -> Iterator[str]:
    for name, target in properties(layers, "AWS::ApplicationAutoScaling::ScalableTarget"):
        if "RoleARN" in target:
            yield f"{name} has a RoleARN"


def _no_launch_type_beside_a_strategy(layers: Layers) -> Iterator[str]:
    for name, service in properties(layers, SERVICE):
        if "LaunchType" in service and "CapacityProviderStrategy" in service:
            yield f"{name} has LaunchType {service['LaunchType']} beside CapacityProviderStrategy"


def _failed_deployments_go_back(layers: Layers) -> Iterator[str]:
    for name, service in properties(layers, SERVICE):
        breaker = value(service, "DeploymentConfiguration.DeploymentCircuitBreaker", {})
        for key in ("Enable", "Rollback"):
            if not is_true(breaker.get(key)):
                yield f"{name} has a circuit breaker without {key}"


def _launch_without_room_ends(layers: Layers) -> Iterator[str]:
    for name, _ in resources(layers, SERVICE):
        if not layers[name.partition(".")[0]]["Sceptre"]["stack_timeout"]:
            yield f"{name} is in a stack without stack_timeout"


def _grace_covers_the_start(layers: Layers) -> Iterator[str]:
    for name, service in properties(layers, SERVICE):
        # Without a load balancer only the container's own check, which has a start period, finds it unhealthy.
        if service.get("LoadBalancers") and int(service.get("HealthCheckGracePeriodSeconds", 0)) < 1:
            yield f"{name} has no HealthCheckGracePeriodSeconds"


def _zones_come_before_packing(layers: Layers) -> Iterator[str]:
    for name, service in properties(layers, SERVICE):
        if service.get("AvailabilityZoneRebalancing") not in {"ENABLED", "DISABLED"}:
            yield f"{name} leaves AvailabilityZoneRebalancing to the default"
        strategies = service.get("PlacementStrategies", [])
        zones_first = value(strategies, "0.Field") == "attribute:ecs.availability-zone"
        if not zones_first and service.get("AvailabilityZoneRebalancing") == "ENABLED":
            yield f"{name} rebalances zones and does not spread its tasks over them first"
        if not zones_first and value(strategies, "0.Type") != "binpack":
            yield f"{name} neither spreads its tasks over zones first nor packs them"


def _a_spot_machine_can_be_left_in_time(layers: Layers) -> Iterator[str]:
    for group_name, group in properties(layers, GROUP):
        spread = value(group, "MixedInstancesPolicy.InstancesDistribution", {})
        base = int(spread.get("OnDemandBaseCapacity", 0))
        on_demand = int(spread.get("OnDemandPercentageAboveBaseCapacity", 100))
        if int(group["MaxSize"]) <= base or on_demand == ALL:
            continue
        for name, service in properties(layers, SERVICE):
            healthy = int(value(service, "DeploymentConfiguration.MinimumHealthyPercent", ALL))
            if healthy >= ALL:
                yield f"{name} has MinimumHealthyPercent {healthy} on the Spot machines of {group_name}"


def _spare_machines_and_zones_exclude_each_other(layers: Layers) -> Iterator[str]:
    targets = [
        int(value(provider, "AutoScalingGroupProvider.ManagedScaling.TargetCapacity", ALL))
        for _, provider in properties(layers, "AWS::ECS::CapacityProvider")
        if value(provider, "AutoScalingGroupProvider.ManagedScaling.Status") == "ENABLED"
    ]
    for name, service in properties(layers, SERVICE):
        first = value(service, "PlacementStrategies.0.Type")
        if first == "spread" and min(targets, default=ALL) < ALL:
            yield f"{name} spreads its tasks before it packs them, with TargetCapacity {min(targets)}"


def _containers_are_not_root_and_keep_their_files(layers: Layers) -> Iterator[str]:
    for name, task in properties(layers, TASK):
        layer = {name.partition(".")[0]: layers[name.partition(".")[0]]}
        has_shell = any(is_true(service.get("EnableExecuteCommand")) for _, service in properties(layer, SERVICE))
        for container in task["ContainerDefinitions"]:
            if str(container.get("User", "root")).partition(":")[0] in {"0", "root"}:
                yield f"{name} may run as root"
            # ECS Exec writes below /var.
            if not has_shell and not is_true(container.get("ReadonlyRootFilesystem")):
                yield f"{name} has a root file system that it can write to"


def _ports_are_meant(layers: Layers) -> Iterator[str]:
    """Yield ports of rules that are none of the web's, the hosts' own range or the settings'."""
    outgoing = set(layers["vpc"]["Sceptre"]["settings"].get("outgoing_ports", [WEB_PORTS[1]]))
    for name, rule in properties(layers, INGRESS):
        if rule.get("FromPort") != HOST_PORTS[0]:
            yield f"{name} lets port {rule.get('FromPort')} in"
    for name, group in properties(layers, "AWS::EC2::SecurityGroup"):
        for rule in group.get("SecurityGroupIngress", []):
            if rule.get("FromPort") not in {*WEB_PORTS, HOST_PORTS[0], *outgoing}:
                yield f"{name} lets port {rule.get('FromPort')} in"
        for rule in group.get("SecurityGroupEgress", []):
            if rule.get("FromPort") not in {0, HOST_PORTS[0], *outgoing}:
                yield f"{name} lets port {rule.get('FromPort')} out"


def _log_driver_is_not_left_to_the_account(layers: Layers) -> Iterator[str]:
    for name, task in properties(layers, TASK):
        for container in task["ContainerDefinitions"]:
            options = value(container, "LogConfiguration.Options", {})
            missing = {"mode", "max-buffer-size"} - options.keys()
            if value(container, "LogConfiguration.LogDriver") == "awslogs" and missing:
                yield f"{name} leaves {', '.join(sorted(missing))} of awslogs to the account"


def _containers_restart_when_ecs_lets_them(layers: Layers) -> Iterator[str]:
    for name, task in properties(layers, TASK):
        for container in task["ContainerDefinitions"]:
            policy = container.get("RestartPolicy", {})
            period = int(policy.get("RestartAttemptPeriod", RESTART_PERIODS[0]))
            if period not in RESTART_PERIODS:
                yield f"{name} restarts after {period} s, not after {RESTART_PERIODS[0]} to {RESTART_PERIODS[-1]} s"
            if policy and "Enabled" not in policy:
                yield f"{name} has a restart policy without Enabled"


def _fine_metrics_are_published(layers: Layers) -> Iterator[str]:
    for name, policy in properties(layers, SCALING_POLICY):
        place = "TargetTrackingScalingPolicyConfiguration.PredefinedMetricSpecification.PredefinedMetricType"
        kind = value(policy, place, "")
        metric = kind.removeprefix("ECSServiceAverage").removesuffix("HighResolution")
        layer = name.partition(".")[0]
        for service, found in properties({layer: layers[layer]}, SERVICE):
            configurations = value(found, "Monitoring.MetricConfigurations", [])
            fine = {
                one for item in configurations if int(item["ResolutionSeconds"]) == FINE for one in item["MetricNames"]
            }
            if kind.endswith("HighResolution") and metric not in fine:
                yield f"{name} goes by {metric} every {FINE} s, which {service} does not publish"


def _tags_are_propagated(layers: Layers) -> Iterator[str]:
    for name, service in properties(layers, SERVICE):
        if is_true(service.get("EnableECSManagedTags")) and not service.get("PropagateTags"):
            yield f"{name} has EnableECSManagedTags without PropagateTags"


def _service_waits_for_its_rule(layers: Layers) -> Iterator[str]:
    for name, service in resources(layers, SERVICE):
        layer = name.partition(".")[0]
        rules = {found.partition(".")[2] for found, _ in resources({layer: layers[layer]}, RULE)}
        if service["Properties"].get("LoadBalancers") and not rules & depends_on(service):
            yield f"{name} has no DependsOn on the rule of its target group"


def _requests_end_before_a_spot_machine_does(layers: Layers) -> Iterator[str]:
    for name, group in properties(layers, TARGET_GROUP):
        found = attributes(group, "TargetGroupAttributes")
        delay = int(found.get("deregistration_delay.timeout_seconds", 300))
        slow_start = int(found.get("slow_start.duration_seconds", 0))
        if delay not in DELAYS:
            yield f"{name} has a deregistration delay of {delay} s, not of {DELAYS[0]} to {DELAYS[-1]} s"
        if slow_start and slow_start not in SLOW_STARTS:
            yield f"{name} has a slow start of {slow_start} s, not of {SLOW_STARTS[0]} to {SLOW_STARTS[-1]} s"
        layer = name.partition(".")[0]
        for task, definition in properties({layer: layers[layer]}, TASK):
            stop = max(int(container.get("StopTimeout", 30)) for container in definition["ContainerDefinitions"])
            if delay + stop >= SPOT_NOTICE_SECONDS:
                yield f"{task} stops {delay + stop} s after a Spot notice of {SPOT_NOTICE_SECONDS} s"


def _deployment_alarms_need_the_ecs_controller(layers: Layers) -> Iterator[str]:
    for name, service in properties(layers, SERVICE):
        controller = value(service, "DeploymentController.Type", "ECS")
        if value(service, "DeploymentConfiguration.Alarms") and controller != "ECS":
            yield f"{name} has deployment alarms with the controller {controller}"


def _nothing_has_a_fixed_name(layers: Layers) -> Iterator[str]:
    fixed = {
        TARGET_GROUP: "Name",
        "AWS::Logs::LogGroup": "LogGroupName",
        "AWS::IAM::Role": "RoleName",
        "AWS::IAM::InstanceProfile": "InstanceProfileName",
    }
    for kind, key in fixed.items():
        for name, item in properties(layers, kind):
            # WAF wants a prefix; the stack's name keeps the rest apart.
            if key in item and "${AWS::StackName}" not in "".join(texts(item[key])):
                yield f"{name} has the fixed {key} {item[key]}"


RULES = [
    Rule(
        14,
        "the small machines have two network interfaces, and in bridge mode a target is a machine and a free port",
        _network_mode_fits_small_machines,
    ),
    Rule(15, "Docker takes host ports from 32768 to 65535", _load_balancer_reaches_every_host_port),
    Rule(
        16,
        "a rolling deployment needs room for a second task on the smallest machine, which has less than its nominal "
        "memory",
        _two_tasks_share_the_smallest_machine,
    ),
    Rule(17, "old and new tasks run side by side during a deployment, and ECS rounds down", _fleet_holds_a_deployment),
    Rule(18, "each change of the service resets it to its desired count", _scaling_decides_how_many_tasks),
    Rule(19, "Application Auto Scaling has a service-linked role of its own", _scaling_uses_its_own_role),
    Rule(20, "launch type and capacity provider strategy exclude each other", _no_launch_type_beside_a_strategy),
    Rule(21, "without the circuit breaker a deployment that cannot work runs for hours", _failed_deployments_go_back),
    Rule(22, "tasks that wait for a machine never trip the circuit breaker", _launch_without_room_ends),
    Rule(23, "without a grace period a task that is still starting is stopped as unhealthy", _grace_covers_the_start),
    Rule(24, "strategies are applied in their order", _zones_come_before_packing),
    Rule(
        84,
        "with 100 % healthy no task of a draining machine stops before its replacement serves, and a Spot machine is "
        "gone by then; https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html",
        _a_spot_machine_can_be_left_in_time,
    ),
    Rule(
        85,
        "below a target of 100 packing must come before spreading, or machines are added until each task has one; "
        "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-auto-scaling.html",
        _spare_machines_and_zones_exclude_each_other,
    ),
    Rule(
        93,
        "root in a container is root on the machine when something goes wrong, and a writable file system keeps what "
        "an intruder leaves; https://docs.aws.amazon.com/AmazonECS/latest/developerguide/security-tasks-containers.html",
        _containers_are_not_root_and_keep_their_files,
    ),
    Rule(
        94,
        "32678 for 32768 has been seen, below the range from which Docker takes host ports",
        _ports_are_meant,
    ),
    Rule(
        86,
        "what awslogs does when its buffer is full is up to an account setting unless the task definition says; "
        "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html",
        _log_driver_is_not_left_to_the_account,
    ),
    Rule(
        99,
        "a task cannot use more than its CPU units, so tasks that fill a machine bring it to a share of its CPU only; "
        "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html",
        _machines_can_be_as_busy_as_scaling_waits_for,
    ),
    Rule(
        100,
        "rebalancing launches no machine in a zone that has none, and fails there again and again; "
        "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-rebalancing.html",
        _zones_are_rebalanced_where_machines_are,
    ),
    Rule(
        106,
        "ECS refuses a restart policy that does not say whether it is enabled, or of another period; "
        "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerRestartPolicy.html",
        _containers_restart_when_ecs_lets_them,
    ),
    Rule(
        107,
        "a policy by 20-second metrics needs a service that publishes them; "
        "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/target-tracking-faster-auto-scaling.html",
        _fine_metrics_are_published,
    ),
    Rule(25, "ECS refuses managed tags on tasks to which nothing is propagated", _tags_are_propagated),
    Rule(
        26,
        "ECS refuses a service whose target group has no load balancer yet, and only the rule connects them",
        _service_waits_for_its_rule,
    ),
    Rule(
        27,
        "what is under way must end within the two minutes that a Spot machine has left, and not be cut at once",
        _requests_end_before_a_spot_machine_does,
    ),
    Rule(28, "only ECS's own deployments know alarms", _deployment_alarms_need_the_ecs_controller),
    Rule(
        29, "fixed names collide between environments, and a change of them is a replacement", _nothing_has_a_fixed_name
    ),
]

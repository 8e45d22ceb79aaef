"""What Auto Scaling says of a machine that it could not launch, as kinds of failure.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/CHAP_Troubleshooting.html
"""

from spotfleet.stacks.causes.stack_words import QUOTAS, STACK_WORDS
from spotfleet.stacks.causes.words import Words

GUIDE = "https://docs.aws.amazon.com/autoscaling/ec2/userguide"
_SHARED = [one for one in STACK_WORDS if one not in QUOTAS and one.kind in {"permission_denied", "image_gone"}]

MACHINE_WORDS = (
    *QUOTAS[:-1],
    Words(
        "no_spot_capacity",
        r"no Spot capacity available|Could not launch Spot.*(?:Insufficient|Unfulfillable|capacity)",
        "AWS has no Spot capacity for {types} in the zones of this environment",
        "wait, or add instance_types in {settings}; a higher on_demand_base keeps what must run off Spot",
        f"{GUIDE}/ts-as-capacity.html",
    ),
    Words(
        "no_capacity",
        r"InsufficientInstanceCapacity|do not have sufficient .* capacity|UnfulfillableCapacity",
        "AWS has no on-demand capacity for {types} in the zones of this environment",
        "wait, or add instance_types or availability_zones in {settings}",
        f"{GUIDE}/ts-as-capacity.html",
    ),
    Words(
        "never_joined",
        r"Lifecycle Action.*(?:was abandoned|heartbeat timeout|timed out)|Heartbeat Timeout",
        "a machine started and never joined the cluster, so that the group gave it up",
        "see that the private subnets have a way out (`egress` in {settings}) and what the machine's ECS agent says: "
        "`aws ec2 get-console-output`",
        f"{GUIDE}/lifecycle-hooks-overview.html",
    ),
    Words(
        "type_not_in_zone",
        r"instance type \(?(?P<type>[\w.]+)\)? is not supported in your requested Availability Zone|"
        r"requested configuration is currently not supported",
        "AWS does not offer the instance type {type} in one of the zones",
        "take another one as instance_types in {settings}",
        f"{GUIDE}/ts-as-instancelaunchfailure.html",
    ),
    Words(
        "volume_key",
        r"Client\.InternalError|Client error on launch",
        "a machine ended as it started, because its encrypted volume could not be opened",
        "let the service-linked role AWSServiceRoleForAutoScaling use the KMS key of EBS's default encryption",
        f"{GUIDE}/ts-as-instancelaunchfailure.html",
    ),
    *_SHARED,
)

REFRESH_WORDS = (
    Words(
        "refresh_rolled_back",
        r".",
        "the machines' replacement was given up and taken back: {said}",
        "mend what the alarm or the new machines showed, then launch again",
        f"{GUIDE}/instance-refresh-rollback.html",
    ),
)

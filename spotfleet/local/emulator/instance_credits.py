"""EC2: how a burstable machine pays for CPU above its baseline.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceCreditSpecifications.html
"""

from http import HTTPStatus

from ministack.services import ec2

from spotfleet.facts import instance_types
from spotfleet.local.emulator.patching import replaces
from spotfleet.local.emulator.records import Record, Response

# Of T3, T3a and T4g, where the launch template says nothing.
DEFAULT = "unlimited"


@replaces(ec2._ACTION_MAP, "DescribeInstanceCreditSpecifications")
def describe_instance_credit_specifications(parameters: Record) -> Response:
    """Tell what the launch templates say; MiniStack calls every machine standard."""
    named = ec2._parse_member_list(parameters, "InstanceId")
    burstable = {
        name: machine.get("CpuCredits") or DEFAULT
        for name, machine in ec2._instances.items()
        if instance_types.is_burstable(machine["InstanceType"])
    }
    for name in named:
        if name not in burstable:
            text = (
                f"{name} is no burstable performance instance" if name in ec2._instances else f"{name} does not exist"
            )
            error: Response = ec2._error("InvalidInstanceID", text, HTTPStatus.BAD_REQUEST)
            return error
    # Asked for none, AWS tells those with unlimited credits.
    told = named or [name for name, mode in burstable.items() if mode == "unlimited"]
    items = "".join(
        f"<item><instanceId>{name}</instanceId><cpuCredits>{burstable[name]}</cpuCredits></item>" for name in told
    )
    answer: Response = ec2._xml(
        HTTPStatus.OK,
        "DescribeInstanceCreditSpecificationsResponse",
        f"<instanceCreditSpecificationSet>{items}</instanceCreditSpecificationSet>",
    )
    return answer

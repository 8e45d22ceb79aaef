"""What a change of a property does that AWS's schemas call conditionally create-only: it may replace, or not.

The schemas do not say on what it depends; the pages of the types do, under "Update requires"
(https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/). A test holds the list to the schemas.
"""

from enum import StrEnum


class Does(StrEnum):
    """What CloudFormation does to a resource, in the words of a plan."""

    CREATED = "created"
    UPDATED = "updated in place"
    ROLLED = "updated in place, its machines replaced one after the other"
    INTERRUPTED = "interrupted"
    REPLACED = "replaced"
    DELETED = "deleted"
    KEPT = "kept"
    # Nobody here knows: the schemas lack the type, or the page leaves it open.
    OPEN = "not known"


CONDITIONAL: dict[str, dict[str, Does]] = {
    # "Some interruptions": the group's update policy decides how its machines are replaced.
    "AWS::AutoScaling::AutoScalingGroup": {
        "LaunchConfigurationName": Does.ROLLED,
        "LaunchTemplate": Does.ROLLED,
        "MixedInstancesPolicy": Does.ROLLED,
        "VPCZoneIdentifier": Does.ROLLED,
    },
    # An instance whose root volume is EBS is stopped and started; the NAT instance is one.
    "AWS::EC2::Instance": {
        "AdditionalInfo": Does.INTERRUPTED,
        "Affinity": Does.INTERRUPTED,
        # In place where only DeleteOnTermination changes; anything else replaces.
        "BlockDeviceMappings": Does.REPLACED,
        "EbsOptimized": Does.INTERRUPTED,
        "HostId": Does.INTERRUPTED,
        "InstanceType": Does.INTERRUPTED,
        "KernelId": Does.INTERRUPTED,
        "PrivateDnsNameOptions": Does.UPDATED,
        "RamdiskId": Does.INTERRUPTED,
        # Within a VPC.
        "SecurityGroupIds": Does.UPDATED,
        "Tenancy": Does.INTERRUPTED,
        "UserData": Does.INTERRUPTED,
    },
    "AWS::EC2::Subnet": {"Ipv6CidrBlock": Does.INTERRUPTED},
    # In place from dedicated to default only.
    "AWS::EC2::VPC": {"InstanceTenancy": Does.REPLACED},
    "AWS::ECS::Service": {"LaunchType": Does.REPLACED},
    "AWS::Events::Rule": {"EventBusName": Does.REPLACED},
    "AWS::SNS::Subscription": {"Region": Does.UPDATED},
}

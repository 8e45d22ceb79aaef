"""The CloudFormation resource types that the templates use and MiniStack lacks or does only in part.

Every type works through the public AWS APIs of the embedded AWS. What Ref and Fn::GetAtt return is that of the
template reference: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
An update that returns another physical id is a replacement: the stack then deletes the old resource by itself.
"""

from spotfleet.local.emulator.resource_types.application_autoscaling import ScalableTarget, ScalingPolicy
from spotfleet.local.emulator.resource_types.base import ResourceType
from spotfleet.local.emulator.resource_types.ec2 import (
    EgressOnlyInternetGateway,
    ElasticIp,
    FlowLog,
    Instance,
    NatGateway,
    SecurityGroupRule,
    VpcCidrBlock,
)
from spotfleet.local.emulator.resource_types.ecs import (
    CapacityProvider,
    ClusterCapacityProviderAssociations,
    Service,
    TaskDefinition,
)
from spotfleet.local.emulator.resource_types.wafv2 import FirewallLogging, WebAclAssociation

TYPES: dict[str, ResourceType] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": ScalableTarget(),
    "AWS::ApplicationAutoScaling::ScalingPolicy": ScalingPolicy(),
    "AWS::EC2::EIP": ElasticIp(),
    "AWS::EC2::EgressOnlyInternetGateway": EgressOnlyInternetGateway(),
    "AWS::EC2::FlowLog": FlowLog(),
    "AWS::EC2::Instance": Instance(),
    "AWS::EC2::NatGateway": NatGateway(),
    "AWS::EC2::SecurityGroupEgress": SecurityGroupRule("egress"),
    "AWS::EC2::SecurityGroupIngress": SecurityGroupRule("ingress"),
    "AWS::EC2::VPCCidrBlock": VpcCidrBlock(),
    "AWS::ECS::CapacityProvider": CapacityProvider(),
    "AWS::ECS::ClusterCapacityProviderAssociations": ClusterCapacityProviderAssociations(),
    "AWS::ECS::Service": Service(),
    "AWS::ECS::TaskDefinition": TaskDefinition(),
    "AWS::WAFv2::LoggingConfiguration": FirewallLogging(),
    "AWS::WAFv2::WebACLAssociation": WebAclAssociation(),
}
# Those that the stack's own tags reach.
TAGGED = (
    "AWS::EC2::EIP",
    "AWS::EC2::EgressOnlyInternetGateway",
    "AWS::EC2::FlowLog",
    "AWS::EC2::Instance",
    "AWS::EC2::NatGateway",
    "AWS::ECS::CapacityProvider",
    "AWS::ECS::Service",
    "AWS::ECS::TaskDefinition",
)

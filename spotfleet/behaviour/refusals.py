"""What AWS refuses for reasons that no laptop has, in AWS's words: quotas, permissions, throttling, names, zones.

A rehearsal asks for one by its name. The words are those that AWS's users have met; each has its source.
"""

from dataclasses import dataclass

# The parameter of Systems Manager under which a refusal is asked for, before the resource's type.
PREFIX = "/spotfleet/refuse/"
# What a launch of an Auto Scaling group is asked for by.
MACHINE = "AWS::EC2::Instance"
# Of types whose action is not named after them.
ACTIONS = {
    "AWS::EC2::EIP": "ec2:AllocateAddress",
    "AWS::EC2::VPC": "ec2:CreateVpc",
    "AWS::ElasticLoadBalancingV2::ListenerRule": "elasticloadbalancing:CreateRule",
}
SERVICES = {"ElasticLoadBalancingV2": "elasticloadbalancing", "CertificateManager": "acm"}
HANDLER = 'Resource handler returned message: "{words}" (RequestToken: 00000000-0000-0000-0000-000000000000, {code})'
FAILED_LAUNCH = "{words} Launching EC2 instance failed."
QUOTA_PAGE = "Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."


@dataclass(frozen=True)
class Refusal:
    """A refusal: the type of resource that it usually meets, what is said, and CloudFormation's code for it.

    `of_deletion` when it meets the resource's deletion, and not its creation.
    """

    type: str
    words: str
    code: str = "GeneralServiceException"
    of_deletion: bool = False


REFUSALS = {
    # https://github.com/radius-project/samples/issues/711
    "addresses": Refusal(
        "AWS::EC2::EIP", "The maximum number of addresses has been reached. (Service: Ec2, Status Code: 400)"
    ),
    # https://github.com/aws-samples/open-on-demand-on-aws/issues/14
    "vpcs": Refusal("AWS::EC2::VPC", "The maximum number of VPCs has been reached. (Service: Ec2, Status Code: 400)"),
    # https://docs.aws.amazon.com/waf/latest/APIReference/API_CreateWebACL.html
    "web_acls": Refusal(
        "AWS::WAFv2::WebACL",
        "AWS WAF couldn't perform the operation because you exceeded your resource limit. (Service: Wafv2, "
        "Status Code: 400)",
        "ServiceLimitExceeded",
    ),
    # https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-capacity.html
    "vcpus": Refusal(
        MACHINE,
        "You have requested more vCPU capacity than your current vCPU limit of 5 allows for the instance bucket that "
        f"the specified instance type belongs to. {QUOTA_PAGE}",
    ),
    # https://github.com/aws-deepracer-community/deepracer-on-the-spot/issues/55
    "spot_vcpus": Refusal(
        MACHINE, "Could not launch Spot Instances. MaxSpotInstanceCountExceeded - Max spot instance count exceeded."
    ),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
    "permission": Refusal(
        "AWS::IAM::Role",
        "User: arn:aws:iam::000000000000:user/local is not authorized to perform: {action} on resource: * because no "
        "identity-based policy allows the {action} action (Status Code: 403)",
        "AccessDenied",
    ),
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/throttling.html
    "throttling": Refusal("AWS::IAM::Role", "Rate exceeded (Status Code: 400)", "Throttling"),
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html
    "name": Refusal("AWS::ECR::Repository", "Resource of type '{type}' already exists.", "AlreadyExists"),
    # https://docs.aws.amazon.com/acm/latest/userguide/troubleshooting-failed.html
    "certificate": Refusal(
        "AWS::CertificateManager::Certificate",
        "DNS Record Set is not available. Certificate is in FAILED status.",
    ),
    # https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
    "zone": Refusal(
        "AWS::Route53::RecordSet",
        "No hosted zone found with ID: Z0123456789ABC (Service: Route53, Status Code: 404)",
        "NotFound",
    ),
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html
    "service_role": Refusal(
        "AWS::ECS::Cluster",
        "Invalid request provided: CreateCluster Invalid Request: Unable to assume the service linked role. Please "
        "verify that the ECS service linked role exists.",
        "InvalidRequest",
    ),
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html
    "in_use": Refusal(
        "AWS::EC2::SecurityGroup",
        "resource {id} has a dependent object (Service: Ec2, Status Code: 400)",
        of_deletion=True,
    ),
    "bucket": Refusal(
        "AWS::S3::Bucket",
        "The bucket you tried to delete is not empty (Service: S3, Status Code: 409)",
        of_deletion=True,
    ),
}


def parameter_of(resource_type: str) -> str:
    """Return the name of the parameter that asks for a refusal of a type."""
    return PREFIX + resource_type.replace("::", ".")


def action_of(resource_type: str) -> str:
    """Return the action that a type's creation asks for; for types not known here a likely one."""
    _aws, service, name = resource_type.split("::")
    return ACTIONS.get(resource_type) or f"{SERVICES.get(service, service.lower())}:Create{name}"


def said(name: str, resource_type: str, physical_id: str = "") -> str:
    """Return what AWS says of a resource, or a machine, that it refuses."""
    refusal = REFUSALS[name]
    words = refusal.words.format(type=resource_type, action=action_of(resource_type), id=physical_id)
    if resource_type == MACHINE:
        return FAILED_LAUNCH.format(words=words)
    return HANDLER.format(words=words, code=f"HandlerErrorCode: {refusal.code}")

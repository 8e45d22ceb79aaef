"""What CloudFormation and the services behind it say when a resource fails, as kinds of failure.

A resource's reason mostly is a service's own answer in quotation marks, with a code at its end:
https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-test-contract-errors.html
"""

from spotfleet.stacks.causes.words import Words

RAISE = (
    "ask for more in Service Quotas ({quota}; `aws service-quotas request-service-quota-increase --service-code "
    "{code}`), or delete what is no longer needed"
)
GUIDE = "https://docs.aws.amazon.com"
TROUBLES = f"{GUIDE}/AWSCloudFormation/latest/UserGuide/troubleshooting.html"


def _quota(pattern: str, what: str, quota: str, code: str, source: str, instead: str = "") -> Words:
    sentence = f"{{place}} could not be made: the account has as many {what} as AWS allows it"
    return Words("quota", pattern, sentence, RAISE.format(quota=quota, code=code) + instead, source)


QUOTAS = (
    _quota(
        r"maximum number of addresses has been reached|AddressLimitExceeded",
        "Elastic IP addresses",
        "EC2-VPC Elastic IPs, 5 by default",
        "ec2 --quota-code L-0263D0A3",
        "https://github.com/radius-project/samples/issues/711",
        "; `egress: nat_instance` takes one address, `nat_gateway_per_zone` one in each zone",
    ),
    _quota(
        r"maximum number of VPCs has been reached|VpcLimitExceeded",
        "VPCs",
        "VPCs per Region, 5 by default",
        "vpc --quota-code L-F678F1CE",
        "https://github.com/aws-samples/open-on-demand-on-aws/issues/14",
    ),
    _quota(
        r"requested more vCPU capacity than your current vCPU limit of (?P<limit>\d+)|VcpuLimitExceeded",
        "vCPUs of running on-demand machines",
        "Running On-Demand Standard instances",
        "ec2 --quota-code L-1216C47A",
        f"{GUIDE}/autoscaling/ec2/userguide/ts-as-capacity.html",
    ),
    _quota(
        r"Max spot instance count exceeded",
        "vCPUs of Spot machines",
        "All Standard Spot Instance Requests",
        "ec2 --quota-code L-34B43A08",
        "https://github.com/aws-deepracer-community/deepracer-on-the-spot/issues/55",
    ),
    _quota(
        r"WAFLimitsExceeded|exceeds? the maximum capacity|couldn.t perform the operation because you exceeded your "
        r"resource limit",
        "web ACLs or rules of WAF",
        "the quota that AWS names in its words",
        "wafv2",
        f"{GUIDE}/waf/latest/APIReference/API_CreateWebACL.html",
        "; or leave out the firewall in {settings}",
    ),
    _quota(
        r"NatGatewayLimitExceeded|InternetGatewayLimitExceeded|TooManyLoadBalancers|TooManyTargetGroups|"
        r"SecurityGroupLimitExceeded|ServiceLimitExceeded|LimitExceeded|maximum number of|quota (?:has been )?exceeded",
        "of these",
        "the quota that AWS names in its words",
        "<the service>",
        f"{GUIDE}/AWSEC2/latest/APIReference/errors-overview.html",
    ),
)

STACK_WORDS = (
    Words(
        "expired_credentials",
        r"ExpiredToken|security token included in the request is (?:expired|invalid)|RequestExpired|"
        r"UnrecognizedClientException|InvalidClientTokenId|SignatureDoesNotMatch|Token has expired|token is expired|"
        r"Error loading SSO Token|Unable to locate credentials",
        "AWS does not take the credentials: they have expired, or are none of AWS's",
        "sign in anew (`aws sso login`, or new keys in the environment), then launch again",
        f"{GUIDE}/STS/latest/APIReference/CommonErrors.html",
    ),
    Words(
        "deletion_protection",
        r"deletion protection is enabled|TerminationProtection is enabled|OperationNotPermitted.*protect",
        "{place} may not be deleted: deletion protection is on",
        "say that you mean it: `CONFIRM_DELETE={environment} sceptre delete {environment}`",
        f"{GUIDE}/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html",
    ),
    Words(
        "service_linked_role",
        r"[Uu]nable to assume the service linked role|service.linked role.*(?:does not exist|has not been created)",
        "{place} could not be made: the account has never used ECS, and lacks its service-linked role",
        "`aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`, then launch again",
        f"{GUIDE}/AmazonECS/latest/developerguide/using-service-linked-roles.html",
    ),
    Words(
        "permission_denied",
        r"is not authorized to perform: ?(?P<action>[\w-]+:\w+)",
        "the role or user that launches may not call {action}, which {place} needs",
        "allow {action} in its IAM policy (an explicit deny, a permissions boundary or a service control policy wins), "
        "then launch again",
        f"{GUIDE}/IAM/latest/UserGuide/troubleshoot_access-denied.html",
    ),
    Words(
        "permission_denied",
        r"You are not authorized to perform this operation|UnauthorizedOperation|AccessDenied",
        "the role or user that launches may not do what {place} needs",
        "find the action that was denied in CloudTrail (errorCode AccessDenied) and allow it, then launch again",
        f"{GUIDE}/AWSEC2/latest/APIReference/errors-overview.html",
    ),
    Words(
        "throttled",
        r"Rate exceeded|Throttling|RequestLimitExceeded|TooManyRequestsException|SlowDown",
        "AWS refused {place} because the account sent more requests than it may just then",
        "launch again; if it happens again, launch fewer environments at the same time",
        f"{GUIDE}/AWSEC2/latest/APIReference/throttling.html",
    ),
    *QUOTAS,
    Words(
        "priority_taken",
        r"Priority '?(?P<priority>\d+)'? is currently in use|PriorityInUse",
        "another rule of the listener has priority {priority} already",
        "give the service another listener_priority in {settings}",
        f"{GUIDE}/elasticloadbalancing/latest/APIReference/API_CreateRule.html",
    ),
    Words(
        "record_taken",
        r"Tried to create resource record set \[name='(?P<name>[^']+)'.*but it already exists",
        "the hosted zone has a record {name} already, which something else made",
        "delete that record in Route 53, or give another domain_name in {settings}",
        f"{GUIDE}/Route53/latest/APIReference/API_ChangeResourceRecordSets.html",
    ),
    Words(
        "hosted_zone_missing",
        r"No hosted zone found with ID:? ?(?P<zone>\w*)|NoSuchHostedZone|is not permitted in zone (?P<other>\S+?)\.?\]",
        "the domain does not go with the hosted zone: {place} found no such zone, or the domain is not below it",
        "give the id of the public zone of the domain as hosted_zone_id in {settings} "
        "(`aws route53 list-hosted-zones`)",
        f"{GUIDE}/Route53/latest/APIReference/API_ChangeResourceRecordSets.html",
    ),
    Words(
        "certificate_failed",
        r"Certificate is in FAILED status|DNS Record Set is not available|CAA_ERROR|DOMAIN_VALIDATION_DENIED|"
        r"certificate .*must have a fully.qualified domain name|UnsupportedCertificate",
        "the certificate could not be issued or used",
        "see that the zone answers for the domain in public DNS (`dig NS <domain>`) and that no CAA record forbids "
        "amazon.com, then launch again",
        f"{GUIDE}/acm/latest/userguide/troubleshooting-failed.html",
    ),
    Words(
        "bucket_not_empty",
        r"bucket you tried to delete is not empty|BucketNotEmpty",
        "{place} is not deleted because objects are in it",
        "`aws s3 rm --recursive s3://<the bucket>`, then run the same again",
        TROUBLES,
    ),
    Words(
        "repository_not_empty",
        r"cannot be deleted because it still contains images|RepositoryNotEmpty",
        "{place} is not deleted because images are in it",
        "delete its images (`aws ecr batch-delete-image`), then run the same again",
        f"{GUIDE}/AmazonECR/latest/APIReference/API_DeleteRepository.html",
    ),
    Words(
        "provider_in_use",
        r"capacity provider is in use and cannot be removed",
        "{place} is not deleted because a service still runs on the machines",
        "delete the services first (`sceptre delete {environment}` has all of its own; `aws ecs list-services` "
        "those of others), then run the same again",
        f"{GUIDE}/AmazonECS/latest/APIReference/API_PutClusterCapacityProviders.html",
    ),
    Words(
        "in_use",
        r"has a dependent object|DependencyViolation|has dependencies and cannot be deleted|"
        r"is currently (?:in use|associated)|ResourceInUse|still in use|has some mapped public address",
        "{place} is not deleted because something that is no part of this environment still uses it",
        "find what uses it (`aws ec2 describe-network-interfaces --filters Name=group-id,Values=<the group>` for a "
        "security group) and take that away, then run the same again",
        TROUBLES,
    ),
    Words(
        "name_taken",
        r"already exists|AlreadyExists|BucketAlreadyOwnedByYou|requested bucket name is not available|"
        r"is already taken|DuplicateLoadBalancerName",
        "{place} could not be made: there is another one with its name",
        "delete the other one if nothing needs it, or take another project_code in config/config.yaml",
        TROUBLES,
    ),
    Words(
        "image_gone",
        r"image id '?\[?(?P<image>ami-\w+)\]?'? (?:does not exist|is not valid)|InvalidAMIID",
        "the machine image {image} does not exist any more, or not in this region",
        "`NEWEST_MACHINE_IMAGE={environment} sceptre launch {environment}` takes the newest one",
        f"{GUIDE}/autoscaling/ec2/userguide/ts-as-ami.html",
    ),
)

# These say that something did not come to its end, and not why: what is deeper is looked for first.
OUTCOME_WORDS = (
    Words(
        "alarm_rollback",
        r"alarm detected:? ?(?P<alarms>[\w ,/-]*)|went into (?:the )?ALARM state|CloudWatch alarm",
        "an alarm ended the deployment while the new tasks already served ({alarms})",
        "see what the alarm measures (errors or slow responses of the new tasks: {logs}), mend that, then launch again",
        f"{GUIDE}/AmazonECS/latest/developerguide/deployment-alarm-failure.html",
    ),
    Words(
        "circuit_breaker",
        r"circuit breaker|tasks failed to start",
        "ECS gave the deployment of {layer} up after tasks that failed in a row, and no longer tells why they did",
        "launch again, and run {why} meanwhile: ECS forgets a stopped task after an hour",
        f"{GUIDE}/AmazonECS/latest/developerguide/deployment-circuit-breaker.html",
    ),
    Words(
        "timeout",
        r"timed out|Exceeded attempts to wait|NotStabilized|did not stabilize|exceeded the specified timeout|"
        r"was not steady after|Failed to receive \d+ resource signal|time exceeded|Resource creation cancelled",
        "{place} was not ready when its time was over",
        "see what it waited for; where it was only slow, raise service_timeout_minutes in {settings}",
        TROUBLES,
    ),
)

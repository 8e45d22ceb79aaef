"""Names and ARNs as AWS takes them, and those that it reserves.

Patterns are AWS's own where its schemas have them; tests/spotfleet/facts/test_aws_names.py holds these to them.
"""

import re
from collections.abc import Iterable

LETTERS = "A-Za-z0-9"
# ECR refuses two separators side by side and one at the end, and its repository's name begins with the stack's, in
# lower case: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
WORDS = rf"[{LETTERS}]+(-[{LETTERS}]+)*"
STACK_NAME_PART = re.compile(rf"[A-Za-z](?=.{{0,30}}$)[{LETTERS}]*(-[{LETTERS}]+)*")
ENVIRONMENT = re.compile(rf"{WORDS}(/{WORDS})*")
SERVICE = re.compile(r"[a-z](?=.{0,30}$)[a-z0-9]*(-[a-z0-9]+)*")
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
LONGEST_STACK_NAME = 128
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCapacityProvider.html: in any case.
RESERVED_FOR_CAPACITY_PROVIDERS = ("aws", "ecs", "fargate")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET = re.compile(r"[a-z0-9]([a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")
RESERVED_FOR_BUCKETS = ("xn--", "sthree-", "amzn-s3-demo-")
BUCKET_ENDINGS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
FOUR_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+){3}")

PARTITION = "aws[a-z-]*"
REGION = "[a-z0-9-]+"
ACCOUNT = "[0-9]{12}"
CERTIFICATE_ARN = rf"arn:{PARTITION}:acm:{REGION}:{ACCOUNT}:certificate/[A-Za-z0-9-]+"
# What IAM itself asks for, https://docs.aws.amazon.com/IAM/latest/APIReference/API_Policy.html
POLICY_ARN = re.compile(rf"arn:{PARTITION}:iam::({ACCOUNT}|aws):policy/[a-zA-Z_0-9+=,.@\-/]+")
ROLE_ARN = re.compile(rf"arn:{PARTITION}:iam::{ACCOUNT}:role/[a-zA-Z_0-9+=,.@\-/]+")
TOPIC_ARN = re.compile(rf"arn:{PARTITION}:sns:{REGION}:{ACCOUNT}:[A-Za-z0-9_-]{{1,256}}(\.fifo)?")
# A policy that names an alias allows nothing: https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html
KEY_ARN = re.compile(
    rf"arn:{PARTITION}:kms:{REGION}:{ACCOUNT}:key/(mrk-[0-9a-f]{{32}}|[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})"
)
# A full ARN ends in six random characters; JSON key, version stage and version may follow. Names that other services
# give have a ! in them: https://docs.aws.amazon.com/secretsmanager/latest/userguide/service-linked-secrets.html
SECRET_ARN = re.compile(
    rf"arn:{PARTITION}:secretsmanager:{REGION}:{ACCOUNT}:secret:[A-Za-z0-9/_+=.@!-]{{1,512}}-[A-Za-z0-9]{{6}}"
    r"(:[^:]*:[^:]*:[^:]*)?"
)
# https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html: a hierarchy begins with
# a slash and has at most 15 levels; a name without one needs no slash.
PARAMETER_NAME = r"([A-Za-z0-9_.-]+|(/[A-Za-z0-9_.-]+){1,15})"
PARAMETER = re.compile(PARAMETER_NAME)
PARAMETER_ARN = re.compile(rf"arn:{PARTITION}:ssm:{REGION}:{ACCOUNT}:parameter(/[A-Za-z0-9_.-]+){{1,15}}")
LONGEST_PARAMETER = 1011
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# The last label has no digit, unless it is of another script: xn--p1ai.
TOP_LEVEL = "([a-z]{2,63}|xn--[a-z0-9-]{0,58}[a-z0-9])"
DOMAIN = rf"({LABEL}\.)+{TOP_LEVEL}"
LONGEST_DOMAIN = 253
# https://docs.aws.amazon.com/acm/latest/APIReference/API_RequestCertificate.html
LONGEST_CERTIFIED_DOMAIN = 64
# Conditions of a listener's rule: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RuleCondition.html
HOST_PATTERN = re.compile(r"(?=.{1,128}$)[A-Za-z0-9.*?-]*\.([A-Za-z]+|[Xx][Nn]--[A-Za-z0-9-]+)")
PATH_PATTERN = r"""[/*?][A-Za-z0-9_.$/~"'@:+&*?-]{0,127}"""
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html: up to 1024
# characters, and of the codes 200 to 499.
HEALTH_CHECK_PATH = r"""/[A-Za-z0-9_.$/~"'@:+&*?=%,;!()-]{0,1023}"""
STATUS_CODE = "[2-4][0-9]{2}"
STATUS_CODES = f"{STATUS_CODE}(-{STATUS_CODE})?(,{STATUS_CODE}(-{STATUS_CODE})?)*"
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
WILDCARDS = 6

# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Tag.html: 50, and the machines' group has two.
MOST_TAGS = 48
LONGEST_TAG_KEY, LONGEST_TAG_VALUE = 128, 256
TAG_TEXT = re.compile(r"(\w| |[.:/=+\-@])*")

# https://pkg.go.dev/github.com/distribution/reference: an image that Docker can pull.
HOST = rf"([{LETTERS}]([{LETTERS}-]*[{LETTERS}])?)(\.[{LETTERS}]([{LETTERS}-]*[{LETTERS}])?)*(:[0-9]+)?"
REPOSITORY = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
IMAGE = rf"({HOST}/)?{REPOSITORY}(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?"

# A private repository of ECR, whose images need a permission: account, region and name.
ECR_IMAGE = re.compile(rf"({ACCOUNT})\.dkr\.ecr(-fips)?\.({REGION})\.amazonaws\.[a-z.]+/({REPOSITORY})([:@].*)?")


def is_reserved_for_capacity_providers(name: str) -> bool:
    """Return whether ECS refuses a capacity provider whose name begins so."""
    return name.lower().startswith(RESERVED_FOR_CAPACITY_PROVIDERS)


def is_bucket(name: str) -> bool:
    """Return whether a bucket can have the name."""
    reserved = name.startswith(RESERVED_FOR_BUCKETS) or name.endswith(BUCKET_ENDINGS)
    return bool(BUCKET.fullmatch(name)) and not reserved and not FOUR_NUMBERS.fullmatch(name)


def is_parameter(text: str) -> bool:
    """Return whether it is the name or the ARN of an SSM parameter."""
    return len(text) <= LONGEST_PARAMETER and bool(PARAMETER.fullmatch(text) or PARAMETER_ARN.fullmatch(text))


def problem_of_tags(tags: dict[str, str]) -> str | None:
    """Say what is wrong with the tags of all stacks, or None."""
    missing = sorted({"Project", "Environment"} - tags.keys())
    lengths_fit = all(0 < len(name) <= LONGEST_TAG_KEY and len(tags[name]) <= LONGEST_TAG_VALUE for name in tags)
    rules = (
        (not missing, f"must hold the tag {' and '.join(missing)}"),
        (len(tags) <= MOST_TAGS, f"must hold at most {MOST_TAGS} tags"),
        (lengths_fit, f"must have names of 1 to {LONGEST_TAG_KEY} characters and values of up to {LONGEST_TAG_VALUE}"),
        (not any(name.lower().startswith("aws:") for name in tags), "must have no name that begins with aws:"),
        # IAM does not tell names apart by their case.
        (len({name.lower() for name in tags}) == len(tags), "must not have names that differ by case only"),
        (all(TAG_TEXT.fullmatch(text) for text in (*tags, *tags.values())), "has a character no tag may have"),
    )
    return next((problem for holds, problem in rules if not holds), None)


def ecr_repository_arn(image: str) -> str:
    """Return the ARN of the repository that an image is in, without its partition; '' where it is none of ECR's own."""
    found = ECR_IMAGE.fullmatch(image)
    return f"ecr:{found[3]}:{found[1]}:repository/{found[4]}" if found else ""


def foreign_arns(arns: Iterable[str], partition: str | None) -> list[str]:
    """Return the ARNs of other partitions than this one."""
    return [arn for arn in arns if arn.startswith("arn:") and arn.split(":")[1] != partition]

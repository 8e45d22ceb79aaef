"""Where AWS names its newest machine images: public parameters of Systems Manager.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/retrieve-ecs-optimized_AMI.html
https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters-ami.html
"""

# Of ECS-optimised Amazon Linux 2023, by architecture; the parameter with the image's id alone is below.
ECS_IMAGES = {
    "x86_64": "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended",
    "arm64": "/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended",
}
IMAGE_ID = "/image_id"
# Amazon Linux 2023 without ECS, for NAT instances.
PLAIN_IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
# The account that publishes them.
OWNER = "591542846629"

"""What ECS says of a task that stopped or never started, and what containers print as they die, as kinds of failure.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
"""

from spotfleet.stacks.causes.words import Words

GUIDE = "https://docs.aws.amazon.com/AmazonECS/latest/developerguide"
PULL = f"{GUIDE}/task_cannot_pull_image.html"
START = f"{GUIDE}/cannot-start-container.html"
SECRETS = f"{GUIDE}/resource-initialization-error.html"

# A task's stopped reason, and the reason of each of its containers. What is more special stands first.
REASON_WORDS = (
    Words(
        "out_of_memory",
        r"OutOfMemoryError|OOM.?killed|oom-kill",
        "a container of {layer} was killed because it used more than its {memory_mib} MiB of memory",
        "raise task_memory_mib of {layer} in {settings}, or let the service use less",
        f"{GUIDE}/out-of-memory.html",
    ),
    Words(
        "image_architecture",
        r"no matching manifest for (?P<platform>[\w/]+)|does not match (?:the )?(?:specified|detected) .*platform|"
        r"image Manifest does not contain descriptor matching platform '?(?P<other>[\w/]+)",
        "the image of {layer} is not there for the machines' architecture ({platform}{other})",
        "build it for cpu_architecture ({architecture}) of {settings}, or take a base image that has it",
        PULL,
    ),
    Words(
        "registry_denied",
        r"CannotPull.*(?:denied|not authorized|no basic auth|403|authentication required)|"
        r"retrieve ecr registry auth.*AccessDenied",
        "the machines may not pull the image of {layer}",
        "let the execution role read the repository (ecr:GetAuthorizationToken, ecr:BatchGetImage), then launch again",
        PULL,
    ),
    Words(
        "image_missing",
        # Which one it was: after a rollback the task definition names another.
        r"CannotPull(?:.*resolve ref (?P<image>\S+?):? )?"
        r".*(?:not found|manifest unknown|does not exist|no such image|NotFound)",
        "the image of {layer}, {image}, is not in its repository",
        "launch again, which builds and pushes it; see that no lifecycle policy or person deletes it",
        PULL,
    ),
    Words(
        "disk_full",
        r"no space left on device",
        "a machine's disk was full when {layer} was to start",
        "raise root_volume_gib in {settings}, or make the image smaller",
        PULL,
    ),
    Words(
        "registry_unreachable",
        r"CannotPull.*(?:i/o timeout|request canceled|Client\.Timeout|connection refused|no such host|deadline)|"
        r"retrieve ecr registry auth.*(?:RequestError|RequestCanceled|deadline)",
        "the machines could not reach the registry that the image of {layer} is in",
        "see that the way out of the private subnets works: `egress` in {settings}, and the NAT instance's state",
        PULL,
    ),
    Words(
        "image_missing",
        r"CannotPull",
        "the image of {layer}, {image}, could not be pulled",
        "see AWS's words for why, then launch again",
        PULL,
    ),
    Words(
        "secret_denied",
        r"(?:secret|ssm|parameter).*(?:AccessDenied|is not authorized to perform: (?P<action>[\w:]+))",
        "ECS may not read a secret of {layer}",
        "see that `secrets` in {settings} names the secret by its whole ARN, and `secret_key_arns` its KMS key",
        SECRETS,
    ),
    Words(
        "secret_missing",
        r"can.t find the specified secret|invalid (?:ssm )?parameters?:? ?(?P<name>\S*)|ParameterNotFound|"
        r"(?:secret|parameter).*(?:ResourceNotFound|not found|does not exist|no such)|"
        r"retrieved secret .* did not contain json key|unable to (?:retrieve|pull) secrets?",
        "a secret that {layer} is to get at its start does not exist, or has no such part",
        "create it (`aws secretsmanager create-secret`, `aws ssm put-parameter`), or correct `secrets` of {layer} in "
        "{settings}",
        SECRETS,
    ),
    Words(
        "log_group_missing",
        r"logging driver.*(?:ResourceNotFound|does not exist)|log group does not exist",
        "the log group of {layer} is gone, so that its containers cannot start",
        "launch again after `sceptre delete {environment}/{layer}.yaml`: somebody has deleted the group by hand",
        START,
    ),
    Words(
        "command_missing",
        r"exec(?:utable)?:? ?\"?(?P<command>[^\":]*)\"?:? ?(?:executable file not found|(?:stat [^:]*: )?"
        r"no such file or directory|permission denied)|executable file not found",
        "the command of {layer}'s image cannot be run: {command}",
        "correct command or entry_point of {layer} in {settings}, or what the image itself runs; the image of the "
        "example has no shell",
        START,
    ),
    Words(
        "image_architecture",
        r"exec format error",
        "the image of {layer} is built for another architecture than the machines have",
        "build it for cpu_architecture ({architecture}) of {settings}, or take a base image that has it",
        "https://repost.aws/knowledge-center/ecs-task-exec-format-error",
    ),
    Words(
        "port_taken",
        r"address already in use|port is already allocated|Ports? .*already",
        "a host port that {layer} wants is taken on the machine",
        "use host port 0, which is any free one, as the template does",
        START,
    ),
    Words(
        "no_room",
        r"RESOURCE:(?P<lack>\w+)|Timed out while waiting for a container instance|waiting for capacity|"
        r"No Container Instances were found",
        "no machine had room for a task of {layer} ({cpu_units} CPU units, {memory_mib} MiB) before ECS gave it up",
        "raise max_machines or take larger instance_types in {settings}, or give {layer} less",
        f"{GUIDE}/cluster-auto-scaling.html",
    ),
)

# A log's last lines, where container_ends.py knows no setting for them.
LOG_WORDS = (
    Words(
        "privilege_missing",
        r"Operation not permitted|EPERM|must be (?:run as )?root",
        "the container of {layer} does something that only root or a capability may",
        "let it do without, or give it what it needs as user and capabilities in {settings}: "
        "docs/bring-your-own-container.md has both",
        f"{GUIDE}/task_definition_parameters.html#container_definition_linuxparameters",
    ),
)

# Why a target is unhealthy: the reason's code of a target, or what is in brackets in a service's event.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/check-target-health.html
HEALTH = "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html"
HEALTH_WORDS = (
    Words(
        "health_check_path",
        r"with these codes: \[404\]",
        "the health checks of {layer} get 404: it has no page at {health_check_path}",
        "set health_check_path of {layer} in {settings} to a page that it has, or let it answer there",
        HEALTH,
    ),
    Words(
        "health_check_code",
        r"with these codes: \[(?P<codes>[\d, ]+)\]",
        "the health checks of {layer} at {health_check_path} get {codes}, none of its health_check_codes",
        "see in its log why it answers so ({logs}), or set health_check_path or health_check_codes of {layer} in "
        "{settings}",
        HEALTH,
    ),
    Words(
        "health_check_timeout",
        r"Request timed out|Target\.Timeout",
        "{layer} does not answer its health checks at {health_check_path} in time",
        "let {health_check_path} answer without waiting for anything else, or raise health_check_timeout_seconds or "
        "task_cpu_units of {layer} in {settings}",
        HEALTH,
    ),
    Words(
        "wrong_port",
        r"Health checks failed|Target\.FailedHealthChecks|UnhealthyThreshold",
        "nothing answers health checks on container port {port} of {layer}: it listens on another port or address, or "
        "not yet",
        "let it listen on 0.0.0.0:{port}, and within health_check_grace_seconds of {settings}",
        HEALTH,
    ),
)

# What a service's event says when no machine takes a task.
PLACEMENT = f"{GUIDE}/service-event-messages-list.html"
PLACEMENT_WORDS = (
    Words(
        "no_machines",
        r"unable to place a task.*No Container Instances were found",
        "the cluster has no machine that a task of {layer} could run on",
        "see that min_machines and max_machines in {settings} allow one, and what the Auto Scaling group says",
        PLACEMENT,
    ),
    Words(
        "no_room_memory",
        r"unable to place a task.*(?:insufficient memory|RESOURCE:MEMORY)",
        "no machine has the {memory_mib} MiB of memory free that a task of {layer} needs ({machines})",
        "raise max_machines, or take instance_types with more memory, in {settings}; or lower task_memory_mib",
        PLACEMENT,
    ),
    Words(
        "no_room_cpu",
        r"unable to place a task.*(?:insufficient CPU|RESOURCE:CPU)",
        "no machine has the {cpu_units} CPU units free that a task of {layer} needs ({machines})",
        "raise max_machines, or take larger instance_types, in {settings}; or lower task_cpu_units",
        PLACEMENT,
    ),
    Words(
        "no_room_ports",
        r"unable to place a task.*(?:port required|RESOURCE:PORTS|ports)",
        "a host port that {layer} wants is taken on every machine",
        "use host port 0, which is any free one, as the template does",
        PLACEMENT,
    ),
    Words(
        "agent_disconnected",
        r"unable to place a task.*AGENT",
        "the ECS agent of the machine that would take a task of {layer} does not talk to ECS",
        "let the group replace that machine: `aws autoscaling terminate-instance-in-auto-scaling-group`",
        PLACEMENT,
    ),
    Words(
        "no_room",
        r"unable to place a task.*(?:attribute required|constraint|capacity limit was exceeded)",
        "no machine is allowed to take a task of {layer}: too many wait, or none has what its definition asks for",
        "see AWS's words, and task_placement and instance_types in {settings}",
        PLACEMENT,
    ),
    Words(
        "deployment_bounds",
        r"unable to stop or start tasks during a deployment because of the service deployment configuration",
        "min_healthy_percent and max_percent of {layer} let ECS neither stop an old task nor start a new one",
        "raise max_percent or lower min_healthy_percent of {layer} in {settings}",
        PLACEMENT,
    ),
    Words(
        "throttled",
        r"operations are being throttled",
        "AWS holds the requests of ECS for {layer} back, because there are more than the account may send",
        "wait: ECS tries again by itself",
        PLACEMENT,
    ),
)

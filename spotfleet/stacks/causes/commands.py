"""The commands that ways out name: `spotfleet logs` knows the embedded AWS alone, and CloudWatch has AWS's logs."""

from spotfleet.stacks.evidence import Evidence

# The environment that the verbs of `spotfleet` take without being told.
DEFAULT_ENVIRONMENT = "dev"


def logs(evidence: Evidence, layer: str, log_group: str = "", *, follow: bool = False) -> str:
    """Return the command that shows what a service's tasks have printed; without its group, where that is to be found.

    The group of a creation that was taken back is gone with it: the next one has another name.
    """
    flag = " --follow" if follow else ""
    if evidence.is_embedded:
        default = evidence.environment == DEFAULT_ENVIRONMENT
        environment = "" if default else f" -e {evidence.environment}"
        return f"`spotfleet logs {layer}{environment}{flag}`"
    if log_group:
        # ECS forgets a stopped task after an hour.
        return f"`aws logs tail {log_group} --since 1h{flag}{evidence.aws_options}`"
    return f"the log group of {evidence.environment}/{layer} in CloudWatch"


def why(evidence: Evidence) -> str:
    """Return the command that explains an environment."""
    return f"`spotfleet why {evidence.environment}{'' if evidence.is_embedded else ' --aws'}`"

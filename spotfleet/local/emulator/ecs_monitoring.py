"""ECS keeps how often a service publishes its CPU and memory use, and tells it of the service's revision (rule T12).

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/target-tracking-faster-auto-scaling.html
"""

from ministack.services import ecs

from spotfleet.local.emulator.patching import replaces
from spotfleet.local.emulator.records import Record, Response, ecs_answer

# Seconds of a service that does not say.
DEFAULT_RESOLUTION = 60
METRICS = ("CPUUtilization", "MemoryUtilization")


def resolutions(monitoring: Record | None) -> dict[str, int]:
    """Return how many seconds lie between two values, by the metric's name."""
    found = dict.fromkeys(METRICS, DEFAULT_RESOLUTION)
    for item in (monitoring or {}).get("metricConfigurations", []):
        found |= dict.fromkeys(item["metricNames"], int(item["resolutionSeconds"]))
    return found


def deploying_changes(service: Record | None, data: Record) -> Record:
    """Return the parameters of UpdateService; another resolution than the service has starts a deployment (E23)."""
    changes = "monitoring" in data and service is not None
    if changes and resolutions(data["monitoring"]) != resolutions((service or {}).get("monitoring")):
        return data | {"forceNewDeployment": True}
    return data


def revisions(service: Record) -> list[Record]:
    """Return the revision that a service runs, as DescribeServices names it."""
    primary = next((item["id"] for item in service["deployments"] if item["status"] == "PRIMARY"), "")
    arn = service["serviceArn"].replace(":service/", ":service-revision/", 1)
    return [{"arn": f"{arn}/{primary.rpartition('/')[2]}"}]


@replaces(ecs._ACTION_MAP, "DescribeServiceRevisions")
def describe_service_revisions(data: Record) -> Response:
    """Tell of revisions what MiniStack, which has none, does not: here each is what its service has now."""
    found, failures = [], []
    for arn in data.get("serviceRevisionArns", []):
        service = ecs._services.get("/".join(arn.split("/")[1:3]))
        if service is None:
            failures.append({"arn": arn, "reason": "MISSING"})
            continue
        kept = {key: service[key] for key in ("serviceArn", "clusterArn", "taskDefinition")}
        found.append(kept | {"serviceRevisionArn": arn, "monitoring": service.get("monitoring", {})})
    return ecs_answer({"serviceRevisions": found, "failures": failures})

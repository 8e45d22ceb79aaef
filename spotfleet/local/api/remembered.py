"""Answers that are remembered while nothing changes: the controllers ask the same again and again.

Where the embedded AWS runs in this process it is known whether anything has changed (`backchannel.changes`); a reading
call that was made since the last change gets the same answer, and none is sent. It stands before the client's methods,
so that whoever asks need not know, and botocore need not put together a request that nobody sends.
"""

import pickle
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spotfleet.local.backchannel import changes

# What the controllers ask again and again, and what answers the same until something changes: no log.
OPERATIONS = {
    *("DescribeAlarms", "DescribeAutoScalingGroups", "DescribeCapacityProviders", "DescribeCertificate"),
    *("DescribeClusters", "DescribeContainerInstances", "DescribeInstanceAttribute", "DescribeInstances"),
    *(
        "DescribeInstanceRefreshes",
        "DescribePolicies",
        "DescribeScalingActivities",
        "DescribeStackResources",
        "DescribeStacks",
    ),
    *("DescribeInstanceStatus", "DescribeLifecycleHooks", "DescribeListenerAttributes", "DescribeListeners"),
    *("DescribeListenerCertificates", "DescribeLoadBalancerAttributes", "DescribeLoadBalancers"),
    *("DescribeRules", "DescribeScalableTargets", "DescribeScalingPolicies", "DescribeScheduledActions"),
    *(
        "DescribeServices",
        "DescribeTags",
        "DescribeTargetHealth",
        "DescribeTargetGroupAttributes",
        "DescribeTargetGroups",
    ),
    *("DescribeTaskDefinition", "DescribeTasks", "ListCertificates", "ListClusters", "ListContainerInstances"),
    *("DescribeLaunchTemplateVersions", "DescribeServiceRevisions", "ListServices", "ListTasks"),
}
# Real seconds after which an answer is asked for again all the same.
LONGEST = 30.0
# Answers of one client.
KEPT = 2_000


# Answers the same until a metric is published.
OF_METRICS = "GetMetricData"


@dataclass(frozen=True)
class _Answer:
    version: object
    moment: float
    # Pickled: who asked may change what it got, and this is made anew eight times faster than a deep copy.
    content: bytes


class Answers:
    """The remembered answers of one client, which several threads ask."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Answer] = OrderedDict()

    def attach(self, client: Any) -> None:  # noqa: ANN401  # a boto3 client, whose class is made at run time
        """Let a client answer from here what it was answered before; its paginators ask its methods too."""
        for name, operation in client.meta.method_to_api_mapping.items():
            if operation in OPERATIONS or operation == OF_METRICS:
                setattr(client, name, self._remembering(operation, getattr(client, name)))

    def _remembering(self, operation: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        def answer(**parameters: Any) -> Any:  # noqa: ANN401  # what botocore takes and gives
            version = _version(operation)
            if version is None:
                return ask(**parameters)
            key = repr((operation, parameters))
            known = self._kept.get(key)
            if known and known.version == version and time.monotonic() - known.moment < LONGEST:
                return pickle.loads(known.content)  # noqa: S301  # pickled below
            told = ask(**parameters)
            self._keep(key, _Answer(version, time.monotonic(), pickle.dumps(told)))
            return told

        return answer

    def _keep(self, key: str, answer: _Answer) -> None:
        # Anew, and so at the end; another thread may let the oldest go meanwhile.
        self._kept.pop(key, None)
        self._kept[key] = answer
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _version(operation: str) -> object:
    """Return what is the same as long as an operation answers the same; None where that is not known."""
    if operation == OF_METRICS:
        return changes.version_of_metrics()
    return changes.version() if operation in OPERATIONS else None

"""Answers that are remembered while nothing changes: the controllers ask the same again and again.

Where the embedded AWS runs in this process it is known whether anything has changed (`backchannel.changes`); a reading
call that was made since the last change gets the same answer, and none is sent. It stands in botocore's events, so that
whoever asks need not know. https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
"""

import copy
import time
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
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
    *("ListServices", "ListTasks"),
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
    http: Any
    parsed: dict[str, Any]


class Answers:
    """The remembered answers of one client, which several threads ask.

    What botocore's events hand over is Any: its classes are made at run time.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Answer] = OrderedDict()

    def attach(self, client: Any) -> None:  # noqa: ANN401  # a boto3 client, whose class is made at run time
        """Let a client answer from here what it was answered before."""
        client.meta.events.register("before-call", self.find)
        client.meta.events.register("after-call", self.keep)

    def find(self, model: Any, params: dict[str, Any], context: dict[str, Any], **_rest: object) -> Any:  # noqa: ANN401
        """Return the answer to a call, as botocore takes it, or None when AWS has to be asked."""
        version = _version(model.name)
        if version is None:
            return None
        key = repr((model.name, params["url_path"], params["query_string"], params["body"]))
        known = self._kept.get(key)
        if known and known.version == version and time.monotonic() - known.moment < LONGEST:
            # Who asked may change what it got.
            return known.http, copy.deepcopy(known.parsed)
        context["spotfleet"] = (key, version)
        return None

    def keep(self, http_response: Any, parsed: dict[str, Any], context: dict[str, Any], **_rest: object) -> None:  # noqa: ANN401
        """Remember what AWS has answered to a call that `find` did not know."""
        if "spotfleet" not in context or http_response.status_code != HTTPStatus.OK:
            return
        key, version = context.pop("spotfleet")
        # Anew, and so at the end; another thread may let the oldest go meanwhile.
        self._kept.pop(key, None)
        self._kept[key] = _Answer(version, time.monotonic(), http_response, copy.deepcopy(parsed))
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _version(operation: str) -> object:
    """Return what is the same as long as an operation answers the same; None where that is not known."""
    if operation == OF_METRICS:
        return changes.version_of_metrics()
    return changes.version() if operation in OPERATIONS else None

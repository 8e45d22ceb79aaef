"""What tasks print goes to their log streams, unless it comes faster than their buffers let it (rule M5)."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from botocore.exceptions import BotoCoreError, ClientError
from ministack.core.concurrency import spawn_background
from ministack.core.responses import (
    get_account_id,
    get_region,
    request_scope,
)
from ministack.services import (
    cloudwatch_logs,
    ecs,
)

from spotfleet.behaviour import log_buffer
from spotfleet.local.api import metrics_store
from spotfleet.local.emulator.patching import extends, replaces
from spotfleet.local.emulator.records import Record, client

# Real seconds in which the lines that the tasks print are collected, to go to their log streams together.
LOG_SECONDS = 0.5

# Lines that a log stream keeps: hours of load must not fill the memory.
KEPT_LINES = 10_000

# Where MiniStack's description of a stream has the bytes that may wait for it; None is any number.
BUFFER = "_buffer"

# What the tasks have printed, by account, region, log group and log stream.
_lines: dict[tuple[str, str, str, str], list[Record]] = {}
# How many bytes that is.
_bytes: dict[tuple[str, str, str, str], int] = {}

_collecting = threading.Lock()


def collect() -> None:
    """Put lines into log streams together: one by one they cost as much as the requests that they tell of."""
    spawn_background(_put_lines_for_ever, thread_name="logs-of-tasks")


@replaces(ecs, "_emit_awslogs_event")
def collect_line(config: Record, message: str) -> None:
    stream = (get_account_id(), get_region(), config["group"], config["stream"])
    size = len(message.encode())
    with _collecting:
        if not log_buffer.is_kept(_bytes.get(stream, 0), size, config.get(BUFFER)):
            return
        _bytes[stream] = _bytes.get(stream, 0) + size
        _lines.setdefault(stream, []).append({"timestamp": int(time.time() * 1000), "message": message})


@extends(ecs, "_awslogs_config")
def with_buffer(original: Callable[..., Record | None], container: Record, *rest: object) -> Record | None:
    """Add how much of a container's output may wait for its stream."""
    config = original(container, *rest)
    if config:
        config[BUFFER] = log_buffer.buffer_bytes(container["logConfiguration"].get("options") or {})
    return config


def _put_lines_for_ever() -> None:
    while True:
        time.sleep(LOG_SECONDS)
        _put_lines()


def _put_lines() -> None:
    with _collecting:
        collected = dict(_lines)
        _lines.clear()
        _bytes.clear()
    for (account, region, group, stream), events in collected.items():
        # The log group may be deleted at this moment.
        with request_scope(account, region), suppress(KeyError):
            place = {"logGroupName": group, "logStreamName": stream}
            cloudwatch_logs._put_log_events({**place, "logEvents": events})
            _forget_oldest_lines(group, stream)
            _count_lines(group, events)


def _count_lines(group: str, events: list[Record]) -> None:
    """Publish what a log group has taken in.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
    """
    values = {
        "IncomingBytes": [float(sum(len(event["message"].encode()) for event in events))],
        "IncomingLogEvents": [float(len(events))],
    }
    # The server may be about to end.
    with suppress(BotoCoreError, ClientError):
        dimensions = {"LogGroupName": group}
        metrics_store.publish(client("cloudwatch"), "AWS/Logs", values, dimensions, metrics_store.minute(time.time()))


def _forget_oldest_lines(group: str, stream: str) -> None:
    with cloudwatch_logs._log_events_lock:
        events = cloudwatch_logs._log_groups[group]["streams"][stream]["events"]
        forgotten = events[:-KEPT_LINES]
        del events[: len(forgotten)]
    for event in forgotten:
        cloudwatch_logs._log_records.pop(event["eventId"], None)

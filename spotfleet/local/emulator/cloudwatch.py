"""CloudWatch keeps alarms; their controller judges them."""

from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

from spotfleet.local.emulator.patching import extends, replaces
from spotfleet.local.emulator.records import Record, Response

# What CloudWatch keeps of an alarm and MiniStack drops: whether a percentile of a few samples counts (rule W5).
LOW_SAMPLES = "EvaluateLowSampleCountPercentile"


@replaces(cloudwatch, "_evaluate_all_alarms")
def judge_no_alarm() -> None:
    """Leave the alarms to their controller: MiniStack takes all dimensions together, and no notice of missing data."""


@replaces(cloudwatch, "_evaluate_alarm")
def judge_none_at_once(_alarm: Record) -> None:
    """Leave a new alarm, too, until the controller judges it: on AWS it waits for its next look (rule W2)."""


@extends(cloudwatch, "_put_metric_alarm")
def keeping_low_samples(
    original: Callable[..., Response],
    params: Mapping[str, Any],
    data: Record,
    is_cbor: bool,
    is_json: bool = False,
) -> Response:
    answer = original(params, data, is_cbor, is_json)
    modern = is_cbor or is_json
    given = data if modern else {name: cloudwatch._p(params, name) for name in ("AlarmName", LOW_SAMPLES)}
    alarm = cloudwatch._alarms.get(given.get("AlarmName"))
    if alarm is not None and given.get(LOW_SAMPLES):
        alarm[LOW_SAMPLES] = given[LOW_SAMPLES]
    return answer


@extends(provisioners, "_cw_metric_alarm_record")
def keeping_low_samples_of_stacks(original: Callable[[str, Record], Record], name: str, props: Record) -> Record:
    kept = {LOW_SAMPLES: props[LOW_SAMPLES]} if props.get(LOW_SAMPLES) else {}
    return original(name, props) | kept

"""Whether and how a target of a load balancer gets its share of the requests little by little: decisions only.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html#slow-start-mode
"""


def starts_slowly(duration: float, warm: int) -> bool:
    """Return whether a target that becomes healthy now starts slowly, for `duration` seconds.

    Only beside `warm` healthy targets, past their own slow start, which take the rest: the first targets of a group,
    and the first one after an outage of all, get all from the start (rule L9).
    """
    return duration > 0 and warm > 0


def share(elapsed: float, duration: float) -> float:
    """Return the share, from 0 to 1, of a warm target's requests that a target gets `elapsed` seconds into its start.

    It grows linearly: halfway, beside two warm ones, a target gets 0.5 / 2.5 of all requests (rule L9).
    """
    return min(1.0, elapsed / duration) if duration > 0 else 1.0

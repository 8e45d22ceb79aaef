"""Whether a new target of a load balancer gets its share of the requests little by little: a decision only."""


def starts_slowly(duration: float, warm: int) -> bool:
    """Return whether a target that is registered now starts slowly once it is healthy, for `duration` seconds.

    Only beside `warm` healthy targets, past their own slow start, which take the rest: the first targets of a group get
    all from the start (rule L9).
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html#slow-start-mode
    """
    return duration > 0 and warm > 0

"""From what AWS tells of an environment to the first cause of what is wrong with it, and how one led to the other.

CloudFormation says last what happened first: a container was killed, so its task stopped, so the deployment failed, so
the stack was rolled back. This goes down that way, from the first resource that failed, as far as something is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spotfleet.stacks.causes import commands, machines, services
from spotfleet.stacks.causes.stack_words import OUTCOME_WORDS, STACK_WORDS
from spotfleet.stacks.causes.words import Cause, recognised
from spotfleet.stacks.evidence import (
    GROUP_TYPE,
    SERVICE_TYPE,
    Certificate,
    Evidence,
    GroupFacts,
    ServiceFacts,
    StackEvent,
    StackFacts,
)
from spotfleet.stacks.stack_state import ABSENT

CERTIFICATE_TYPE = "AWS::CertificateManager::Certificate"
# The kind of a failure that no row of a table knows: AWS's own words are all there is.
UNKNOWN = "stack_failed"
# In the reasons of these another service may be quoted, whose words are not CloudFormation's.
QUOTING = (SERVICE_TYPE, GROUP_TYPE)
# A listener is what waits for a certificate that is still to be validated.
WAITS_FOR_CERTIFICATE = {CERTIFICATE_TYPE, "AWS::ElasticLoadBalancingV2::Listener"}


@dataclass(frozen=True)
class Explanation:
    """The answer to "why": `failed` when a launch or deletion has, `way` from the first cause to the stack's state."""

    environment: str
    failed: bool
    cause: Cause | None
    way: Sequence[str] = ()
    unread: Sequence[str] = ()
    healthy: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the explanation for a program."""
        cause = self.cause
        return {
            "environment": self.environment,
            "failed": self.failed,
            "kind": cause.kind if cause else None,
            "cause": cause.sentence if cause else None,
            "way_out": cause.way_out if cause else None,
            "said": cause.said if cause else None,
            "at": cause.time.isoformat() if cause and cause.time else None,
            "log": list(cause.log) if cause else [],
            "way": list(self.way),
            "unread": list(self.unread),
        }


def explain(evidence: Evidence) -> Explanation:
    """Return the first cause of the environment's first failure; without one, what is wrong now; or that nothing is."""
    failed = [one for one in evidence.stacks if one.has_failed]
    if failed:
        stack = min(failed, key=_failed_at)
        cause, way = of_stack(stack, evidence)
        return Explanation(evidence.environment, True, cause, way, evidence.unread)
    wrong = _now(evidence)
    healthy = "" if wrong else _healthy(evidence)
    return Explanation(evidence.environment, False, wrong, unread=evidence.unread, healthy=healthy)


def refused_at_all(text: str, environment: str) -> Cause | None:
    """Return why AWS answers nothing at all, by the words of its refusal."""
    known = {"place": environment, "settings": f"config/{environment}/config.yaml", "layer": environment}
    return recognised(text, STACK_WORDS, environment=environment, **known)


def _failed_at(stack: StackFacts) -> str:
    event = stack.first_failure or stack.own_reason
    return str(event.time) if event else "9"


def of_stack(stack: StackFacts, evidence: Evidence) -> tuple[Cause, list[str]]:
    """Return why a stack failed, and the way from there to its state, the first thing first."""
    event = stack.first_failure or stack.own_reason
    way = [f"{stack.name} is {stack.status}"]
    if event is None:
        return Cause(UNKNOWN, f"{stack.name} is {stack.status}, and AWS says no more", stack.way_out), way
    way.insert(0, f"{_clock(event.time)} {event.resource} {event.status}: {event.reason or 'no reason given'}")
    place = f"{event.resource} of {stack.name}"
    known = {"place": place, "settings": evidence.settings, "environment": evidence.environment, "layer": stack.layer}
    known |= {"logs": _logs(stack, evidence), "why": commands.why(evidence)}
    plain = recognised(event.reason, STACK_WORDS, **known)
    deeper = None if plain and event.type not in QUOTING else _beneath(stack, event, evidence)
    if deeper is None and plain is None and event.type == SERVICE_TYPE and not evidence.machines:
        deeper = machines.cause_for_room(evidence)
    if deeper:
        way.insert(0, f"{_clock(deeper.time)} {deeper.said}" if deeper.said else deeper.sentence)
        return deeper, way
    cause = plain or recognised(event.reason, OUTCOME_WORDS, **known)
    if cause is None:
        reason = event.reason.rstrip(".") or "no reason given"
        cause = Cause(UNKNOWN, f"{place} ({event.type}) {event.status}: {reason}", stack.way_out)
    return cause.at(event.time, event.reason), way


def _logs(stack: StackFacts, evidence: Evidence) -> str:
    groups = [one.definition.log_group for one in evidence.services if one.stack == stack.name]
    return commands.logs(evidence, stack.layer, next(iter(groups), ""))


def _beneath(stack: StackFacts, event: StackEvent, evidence: Evidence) -> Cause | None:
    """Return what made a resource fail that only waited for something else; a deletion waits for none of these."""
    if event.status == "DELETE_FAILED":
        return None
    if event.type == SERVICE_TYPE or stack.unfinished(SERVICE_TYPE):
        return _of_services(stack, event, evidence)
    if event.type == GROUP_TYPE or stack.unfinished(GROUP_TYPE):
        return _of_groups(stack, event, evidence)
    if event.type in WAITS_FOR_CERTIFICATE or stack.unfinished(CERTIFICATE_TYPE):
        return next((cause for one in evidence.certificates if (cause := _of_certificate(one, evidence))), None)
    return None


def _of_services(stack: StackFacts, event: StackEvent, evidence: Evidence) -> Cause | None:
    mine = [one for one in evidence.services if one.stack == stack.name]
    if found := next((cause for one in mine if (cause := services.cause(one, evidence))), None):
        return found
    # CloudFormation's own words may quote what ECS said last of a task.
    quoted = services.quoted(event.reason, mine[0] if mine else ServiceFacts(stack.name, ""), evidence)
    return quoted.at(event.time) if quoted else None


def _of_groups(stack: StackFacts, event: StackEvent, evidence: Evidence) -> Cause | None:
    mine = [one for one in evidence.groups if one.stack == stack.name]
    if found := next((cause for one in mine if (cause := machines.cause(one, evidence, stack.since))), None):
        return found
    quoted = machines.quoted(event.reason, GroupFacts(stack.name, ""), evidence)
    return quoted.at(event.time) if quoted else None


def _of_certificate(certificate: Certificate, evidence: Evidence) -> Cause | None:
    if certificate.status == "ISSUED":
        return None
    if certificate.failure:
        sentence = f"the certificate of {certificate.domain} was refused: {certificate.failure}"
        way_out = (
            "see that no CAA record of the domain forbids amazon.com, and that hosted_zone_id in "
            f"{evidence.settings} is the zone that answers in public DNS, then launch again"
        )
        return Cause("certificate_failed", sentence, way_out)
    record = f", which is {certificate.record}," if certificate.record else ""
    sentence = f"the certificate of {certificate.domain} was not validated in time"
    way_out = (
        f"see that its DNS record{record} can be looked up from anywhere: the domain's registrar must name the name "
        f"servers of hosted_zone_id in {evidence.settings}; then launch again"
    )
    return Cause("certificate_not_validated", sentence, way_out)


def _now(evidence: Evidence) -> Cause | None:
    """Return what is wrong with an environment none of whose stacks has failed."""
    for service in evidence.services:
        healthy = [one for one in service.targets if one.state == "healthy"]
        is_short = service.running < service.desired or service.pending > 0 or bool(service.deployments)
        has_ill = any(one.state == "unhealthy" for one in service.targets)
        serves = not service.targets or len(healthy) >= service.desired
        if (is_short or has_ill or not serves) and (found := services.cause(service, evidence, newest=True)):
            return found
    short = [one for one in evidence.groups if one.in_service < one.desired]
    return machines.cause_for_room(evidence) if short else None


def _healthy(evidence: Evidence) -> str:
    under_way = [one.name for one in evidence.stacks if one.is_under_way]
    absent = [one.name for one in evidence.stacks if one.status == ABSENT]
    if under_way:
        return f"{', '.join(under_way)} is under way, and nothing has gone wrong so far"
    if len(absent) == len(evidence.stacks):
        return f"nothing is there: launch it with `sceptre launch {evidence.environment}`"
    if absent:
        return f"{', '.join(absent)} is not there: launch it with `sceptre launch {evidence.environment}`"
    counts = [f"{one.running} of {one.desired} tasks of {one.layer} run" for one in evidence.services]
    short = any(one.running < one.desired for one in evidence.services)
    return f"every stack is complete, {', '.join(counts)}{', and AWS names no reason' if short else ''}"


def _clock(time: datetime | None) -> str:
    return time.astimezone().strftime("%H:%M:%S") if time else "earlier:"

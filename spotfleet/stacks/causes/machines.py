"""Why a group has fewer machines than it wants, or machines that never joined the cluster."""

from datetime import datetime

from spotfleet.stacks.causes.machine_words import MACHINE_WORDS, REFRESH_WORDS
from spotfleet.stacks.causes.words import Cause, recognised
from spotfleet.stacks.evidence import Activity, Evidence, GroupFacts

ROLLED_BACK = ("RollbackSuccessful", "RollbackFailed", "RollbackInProgress", "Failed")
LAUNCHING = "Launching"
OF_REFRESHES = ("instance refresh", "alarm")


def cause(group: GroupFacts, evidence: Evidence, since: datetime | None = None) -> Cause | None:
    """Return the first cause of what a group could not do since a moment, a refresh that was taken back before all."""
    refreshes = [one for one in group.refreshes if one.status in ROLLED_BACK and _is_after(one, since)]
    for refresh in refreshes:
        said = refresh.message.rstrip(".") or "AWS gives no reason"
        if found := recognised(said, REFRESH_WORDS, said=said, **_known(group, evidence)):
            return found.at(refresh.time)
    failed = [one for one in group.activities if one.has_failed and _is_after(one, since)]
    return next((found for one in failed if (found := _of_activity(one, group, evidence))), None)


def quoted(text: str, group: GroupFacts, evidence: Evidence) -> Cause | None:
    """Return the cause that a text names which quotes a group's last activity."""
    found = recognised(text, MACHINE_WORDS, **_known(group, evidence))
    if found is None and any(word in text.lower() for word in OF_REFRESHES):
        found = recognised(text, REFRESH_WORDS, said=text.rstrip("."), **_known(group, evidence))
    return found


def cause_for_room(evidence: Evidence) -> Cause | None:
    """Return why machines that tasks wait for do not come; None where each group has all that it may have or wants.

    A launch that failed before a later one succeeded explains nothing.
    """
    for group in evidence.groups:
        launches = [one for one in group.activities if one.description.startswith(LAUNCHING)]
        lasting = []
        for one in reversed(launches):
            if not one.has_failed:
                break
            lasting.append(one)
        for one in reversed(lasting):
            if found := _of_activity(one, group, evidence):
                return found
        if group.most and group.in_service >= group.most:
            sentence = f"the tasks need more than the {group.most} machines that the environment may have"
            way_out = f"raise max_machines in {evidence.settings}, or give the services less CPU and memory"
            return Cause("max_machines", sentence, way_out, launches[-1].time if launches else None)
    return None


def _is_after(activity: Activity, since: datetime | None) -> bool:
    return since is None or activity.time >= since


def _known(group: GroupFacts, evidence: Evidence) -> dict[str, str]:
    types = ", ".join(group.types) or "the types that it asks for"
    return {
        "types": types,
        "settings": evidence.settings,
        "environment": evidence.environment,
        "place": "a machine of the fleet",
        "layer": group.stack.rpartition("/")[2],
    }


def _of_activity(activity: Activity, group: GroupFacts, evidence: Evidence) -> Cause | None:
    found = recognised(activity.message, MACHINE_WORDS, **_known(group, evidence))
    if found is None and activity.message:
        sentence = f"the group could not launch a machine: {activity.message.rstrip('.')}"
        way_out = f"see `aws autoscaling describe-scaling-activities --auto-scaling-group-name {group.name}`"
        found = Cause("machine_not_launched", sentence, way_out)
    return found.at(activity.time, activity.message) if found else None

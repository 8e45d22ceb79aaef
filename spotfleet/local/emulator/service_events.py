"""What ECS tells of a service: its events, the newest first.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
"""

from uuid import uuid4

from ministack.services import ecs

from spotfleet.local.emulator import event_bridge
from spotfleet.local.emulator.records import Record

# ECS keeps the newest hundred.
KEPT = 100


def tell(service: Record, text: str, event: str = "", *, kind: str = event_bridge.INFO, **more: object) -> None:
    """Add an event to a service, and tell EventBridge, where AWS has an event for it."""
    message = f"(service {service['serviceName']}) {text}"
    service["events"].insert(0, {"id": str(uuid4()), "createdAt": ecs._iso(), "message": message})
    del service["events"][KEPT:]
    if event:
        event_bridge.tell_action(service, event, kind=kind, **more)

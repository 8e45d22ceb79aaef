"""Resource types of Application Auto Scaling."""

from spotfleet.local.emulator.api_parameters import api_parameters
from spotfleet.local.emulator.resource_types.base import Clients, Owner, Properties, Resource, ignore


class ScalableTarget:
    """AWS::ApplicationAutoScaling::ScalableTarget. Ref is resource|dimension|namespace."""

    identity = ("ResourceId", "ScalableDimension", "ServiceNamespace")

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Register the target and put its scheduled actions."""
        scaling = clients("application-autoscaling")
        scaling.register_scalable_target(**api_parameters(scaling, "RegisterScalableTarget", properties))
        target = {name: properties[name] for name in self.identity}
        for action in properties.get("ScheduledActions", []):
            scaling.put_scheduled_action(**api_parameters(scaling, "PutScheduledAction", {**target, **action}))
        physical_id = "|".join(target.values())
        return physical_id, {"Id": physical_id}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Register the target anew: the same one is changed, another one is the replacement."""
        if self._target(physical_id) == {name: new[name] for name in self.identity}:
            kept = {action["ScheduledActionName"] for action in new.get("ScheduledActions", [])}
            for action in old.get("ScheduledActions", []):
                if action["ScheduledActionName"] not in kept:
                    clients("application-autoscaling").delete_scheduled_action(
                        ScheduledActionName=action["ScheduledActionName"], **self._target(physical_id)
                    )
        return self.create(clients, owner, new)

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """Deregister the target, which removes its policies and scheduled actions."""
        call = clients("application-autoscaling").deregister_scalable_target
        ignore("ObjectNotFoundException", call, **self._target(physical_id))

    def _target(self, physical_id: str) -> dict[str, str]:
        return dict(zip(self.identity, physical_id.split("|"), strict=True))


class ScalingPolicy:
    """AWS::ApplicationAutoScaling::ScalingPolicy. Ref is the ARN."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Put the policy on its target."""
        scaling = clients("application-autoscaling")
        parameters = api_parameters(scaling, "PutScalingPolicy", properties)
        arn = scaling.put_scaling_policy(**{**parameters, **self._target(properties)})["PolicyARN"]
        return arn, {"Arn": arn, "PolicyName": properties["PolicyName"]}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Put the policy: the same name on the same target is changed, anything else is the replacement."""
        del physical_id, old
        return self.create(clients, owner, new)

    def delete(self, clients: Clients, _physical_id: str, properties: Properties) -> None:
        """Delete the policy."""
        call = clients("application-autoscaling").delete_scaling_policy
        ignore("ObjectNotFoundException", call, PolicyName=properties["PolicyName"], **self._target(properties))

    @staticmethod
    def _target(properties: Properties) -> dict[str, str]:
        if properties.get("ScalingTargetId"):
            values = properties["ScalingTargetId"].split("|")
            return dict(zip(ScalableTarget.identity, values, strict=True))
        return {name: properties[name] for name in ScalableTarget.identity}

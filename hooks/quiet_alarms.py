"""The resolver !quiet_alarms: the environment's alarms that do not ring, and so can end a replacement of machines.

Auto Scaling starts no replacement (instance refresh) that names an alarm which rings, or which nobody has judged yet:
https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-rollback.html
A launch that mends what an alarm rings for must go through, and a service's alarms come after the first machines. Hence
the names are looked up at each launch. Nothing is replaced because they have changed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sceptre.resolvers import Resolver

# What an update policy takes.
MOST = 10

# Stacks that were spoken of: Sceptre resolves a parameter as often as it is asked for.
_said: set[str] = set()


class QuietAlarms(Resolver):
    """Gives the names of alarms, with commas between them.

    `of` has their names in the templates, the most telling first: where there are more than ten, those count.
    """

    def resolve(self) -> str:
        """Return the names of those in the state OK; none where the role may not ask, which is said in one line."""
        try:
            alarms = [alarm for prefix in self._stacks() for alarm in self._alarms_of(prefix)]
        except (BotoCoreError, ClientError) as error:
            self._say(f"no alarm can end a replacement of machines, as AWS does not tell the alarms' states: {error}")
            return ""
        found = [
            alarm
            for logical_id in self.argument["of"]
            for alarm in alarms
            if f"-{logical_id}-" in str(alarm["AlarmName"])
        ]
        ringing = ", ".join(str(alarm["AlarmName"]) for alarm in found if alarm["StateValue"] == "ALARM")
        if ringing:
            self._say(f"these alarms ring already, so they would not end a replacement of machines: {ringing}")
        return ",".join([str(alarm["AlarmName"]) for alarm in found if alarm["StateValue"] == "OK"][:MOST])

    def _stacks(self) -> Iterator[str]:
        """Yield the names of all stacks of the environment: each file in its folder is one."""
        group, _, own = self.stack.name.rpartition("/")
        folder = Path(self.stack.stack_group_config["project_path"]) / "config" / group
        prefix = str(self.stack.external_name).removesuffix(own)
        for file in sorted(folder.glob("*.yaml")):
            if file.stem != "config":
                yield prefix + file.stem

    def _alarms_of(self, stack: str) -> list[dict[str, Any]]:
        # CloudFormation names an alarm after its stack and its name in the template.
        answer: dict[str, Any] = self.stack.connection_manager.call(
            service="cloudwatch", command="describe_alarms", kwargs={"AlarmNamePrefix": f"{stack}-", "MaxRecords": 100}
        )
        return [alarm for alarm in answer["MetricAlarms"] if str(alarm["AlarmName"]).count("-") == stack.count("-") + 2]

    def _say(self, text: str) -> None:
        if text not in _said:
            _said.add(text)
            self.logger.warning("%s: %s", self.stack.name, text)

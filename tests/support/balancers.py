"""A load balancer as ELBv2's own client tells it, and an HAProxy that is a plain object."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from tests.support.answers import Answer, answering

ARN = "arn:aws:elasticloadbalancing:eu-west-1:000000000000"
BALANCER = f"{ARN}:loadbalancer/app/web/1111"
LISTENER = f"{ARN}:listener/app/web/1111/2222"
GROUP = f"{ARN}:targetgroup/blue/3333"
OTHER_GROUP = f"{ARN}:targetgroup/green/4444"


def forward(group: str = GROUP) -> Answer:
    return {"Type": "forward", "TargetGroupArn": group}


def answer(status: str, body: str) -> Answer:
    config = {"StatusCode": status, "ContentType": "text/plain", "MessageBody": body}
    return {"Type": "fixed-response", "FixedResponseConfig": config}


def authenticate(kind: str = "authenticate-oidc") -> Answer:
    return {"Type": kind, "Order": 1}


def _listed(attributes: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in attributes.items()]


class Elbv2:
    """What ELBv2 answers of one load balancer, whose attributes a test changes; `client` is boto3's."""

    def __init__(self) -> None:
        self.client = answering("elbv2", self)
        self.default_action = forward()
        self.before_default_action: list[dict[str, Any]] = []
        self.rules: list[dict[str, Any]] = []
        self.ports = {80: "HTTP"}
        self.balancers = [BALANCER]
        self.idle_timeout = 60
        self.balancer_attributes: dict[str, str] = {}
        self.listener_attributes: dict[str, str] = {}
        self.attributes: dict[str, str] = {"deregistration_delay.timeout_seconds": "30"}
        self.health_check: dict[str, Any] = {
            "HealthCheckPath": "/healthcheck",
            "HealthCheckIntervalSeconds": 10,
            "HealthCheckTimeoutSeconds": 5,
            "HealthyThresholdCount": 2,
            "UnhealthyThresholdCount": 3,
            "Matcher": {"HttpCode": "200"},
        }
        # State by (id, port), of the first group.
        self.targets: dict[tuple[str, int], str] = {}

    def add_rule(self, priority: int, action: dict[str, Any], *conditions: dict[str, Any]) -> None:
        self.add_rule_of_several(priority, [action], *conditions)

    def add_rule_of_several(self, priority: int, actions: list[dict[str, Any]], *conditions: dict[str, Any]) -> None:
        self.rules.append({"Priority": str(priority), "Conditions": list(conditions), "Actions": actions})

    def describe_load_balancers(self) -> Answer:
        return {"LoadBalancers": [{"LoadBalancerArn": arn, "Type": "application"} for arn in self.balancers]}

    def describe_load_balancer_attributes(self, LoadBalancerArn: str) -> Answer:  # noqa: N803, ARG002
        idle_timeout = {"idle_timeout.timeout_seconds": str(self.idle_timeout)}
        return {"Attributes": _listed(idle_timeout | self.balancer_attributes)}

    def describe_listeners(self, LoadBalancerArn: str) -> Answer:  # noqa: N803
        listener = {
            "LoadBalancerArn": LoadBalancerArn,
            "DefaultActions": [*self.before_default_action, self.default_action],
        }
        arn = LoadBalancerArn.replace("loadbalancer", "listener")
        return {
            "Listeners": [
                listener | {"ListenerArn": f"{arn}/{port}", "Port": port, "Protocol": protocol}
                for port, protocol in self.ports.items()
            ]
        }

    def describe_listener_attributes(self, ListenerArn: str) -> Answer:  # noqa: N803, ARG002
        return {"Attributes": _listed(self.listener_attributes)}

    def describe_rules(self, ListenerArn: str) -> Answer:  # noqa: N803, ARG002
        default = {"Priority": "default", "Conditions": [], "Actions": [], "IsDefault": True}
        return {"Rules": [*self.rules, default]}

    def describe_target_groups(self) -> Answer:
        return {"TargetGroups": [{"TargetGroupArn": arn} | self.health_check for arn in (GROUP, OTHER_GROUP)]}

    def describe_target_group_attributes(self, TargetGroupArn: str) -> Answer:  # noqa: N803, ARG002
        return {"Attributes": _listed(self.attributes)}

    def describe_target_health(self, TargetGroupArn: str) -> Answer:  # noqa: N803
        if TargetGroupArn not in (GROUP, OTHER_GROUP):
            raise ClientError({"Error": {"Code": "TargetGroupNotFound"}}, "DescribeTargetHealth")
        targets = self.targets if TargetGroupArn == GROUP else {}
        return {
            "TargetHealthDescriptions": [
                {"Target": {"Id": id_, "Port": port}, "TargetHealth": {"State": state}}
                for (id_, port), state in targets.items()
            ]
        }


class FakeProcess:
    """HAProxy's process: takes every configuration, remembers commands, and has the servers that they make."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "haproxy.sock"
        self.description: str | None = None
        self.configurations: list[str] = []
        self.commands: list[str] = []
        self.servers: dict[tuple[str, str], dict[str, str]] = {}

    def runs_with(self) -> str | None:
        return self.description

    def run(self, configuration: str, description: str) -> None:
        self.configurations.append(configuration)
        self.description = description
        backend = ""
        self.servers = {}
        for line in configuration.splitlines():
            words = line.split()
            if words[:1] == ["backend"]:
                backend = words[1]
            if words[:1] == ["server"]:
                self._serve(backend, words[1], words[2], weight=words[-1])

    def stop(self) -> bool:
        ran = self.description is not None
        self.description = None
        self.servers = {}
        return ran

    def compiles(self, _expression: str) -> bool:
        return True

    def certificate(self) -> Path:
        return self.socket.with_name("balancer.pem")

    def statistics(self) -> Iterator[dict[str, str]]:
        yield {"pxname": "web", "svname": "FRONTEND", "addr": ""}
        yield from [dict(line) for line in self.servers.values()]

    def command(self, *commands: str) -> str:
        for command in commands:
            self.commands.append(command)
            words = command.split()
            match words:
                case ["add", "server", name, address, *_]:
                    backend, _, server = name.partition("/")
                    self._serve(backend, server, address, weight="0", check="INI")
                case ["set", "server", name, "weight", weight]:
                    self.server(name)["uweight"] = weight
                case ["set", "server", name, "health", health]:
                    self.server(name)["status"] = health.upper()
                case ["set", "server", name, "state", state]:
                    self.server(name)["status"] = {"drain": "DRAIN", "maint": "MAINT", "ready": "UP"}[state]
                case ["del", "server", name] if self.server(name)["scur"] == "0":
                    backend, _, server = name.partition("/")
                    del self.servers[backend, server]
        return ""

    def server(self, name: str) -> dict[str, str]:
        backend, _, server = name.partition("/")
        return self.servers[backend, server]

    def _serve(self, backend: str, name: str, address: str, weight: str, check: str = "L7OK") -> None:
        line = {"pxname": backend, "svname": name, "addr": address, "status": "UP", "uweight": weight}
        more = {"check_status": check, "check_code": "", "chkfail": "0", "scur": "0", "qcur": "0"}
        self.servers[backend, name] = line | more

"""A load balancer as ELBv2's own client tells it, and what is behind it."""

import contextlib
import socket
import threading
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.exceptions import ClientError

from tests.support.answers import Answer, answering

# What never comes is waited for so long.
SECONDS = 60

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
        self.zones = ["eu-west-1a"]
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
        zones = [{"ZoneName": name} for name in self.zones]
        kind = {"Type": "application", "AvailabilityZones": zones}
        return {"LoadBalancers": [{"LoadBalancerArn": arn} | kind for arn in self.balancers]}

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


class Backend(ThreadingHTTPServer):
    """A task: answers its name and what reached it; its health check answers `status`."""

    daemon_threads = True

    def __init__(self, name: str, keep_alive: float | None = None) -> None:
        """`keep_alive` is after how many seconds it closes an idle connection: by default never."""
        self.status = 200
        self.name = name
        # How many health checks it has passed since somebody last set this.
        self.passed = 0
        # What came with the last request.
        self.headers: Message = Message()
        # Requests to /held are answered once it is set.
        self.release = threading.Event()
        self.held = threading.Event()
        self.connections: list[socket.socket] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = keep_alive

            def do_GET(handler) -> None:  # noqa: N805
                if handler.path == "/held":
                    self.held.set()
                    self.release.wait(SECONDS)
                checked = handler.path == "/healthcheck"
                time.sleep({"/slow": 1, "/slower": 2}.get(handler.path, 0))
                body = f"{name} {handler.path} {handler.headers.get('X-Forwarded-Proto')}".encode()
                self.passed += checked and self.status == 200
                handler.send_response(self.status if checked else 200)
                self.headers = handler.headers
                handler.send_header("Content-Length", str(len(body)))
                handler.send_header("Strict-Transport-Security", "max-age=7")
                handler.end_headers()
                handler.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(handler, *_arguments: object) -> None:  # noqa: N805
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def end(self) -> None:
        """Refuse all that comes from now on, and close the connections that there are."""
        self.release.set()
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_arguments: object) -> None:
        """A closed connection is nothing to print."""

    @property
    def target(self) -> tuple[str, int]:
        return ("i-1", self.server_address[1])

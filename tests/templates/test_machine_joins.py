"""The script by which a machine enters service, run with this machine's bash and curl against services of the test."""

import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from spotfleet.local.api import signature
from tests.support.changed import changed

KEY = "a/secret+with=signs"
# As the metadata service shows them:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
CREDENTIALS = f"""{{
  "Code" : "Success",
  "LastUpdated" : "2026-11-26T12:00:00Z",
  "Type" : "AWS-HMAC",
  "AccessKeyId" : "ASIAEXAMPLE",
  "SecretAccessKey" : "{KEY}",
  "Token" : "a//session+token==",
  "Expiration" : "2026-11-26T18:00:00Z"
}}"""
METADATA = {
    "instance-id": "i-1",
    "iam/security-credentials/": "role-of-the-fleet",
    "iam/security-credentials/role-of-the-fleet": CREDENTIALS,
}
GROUP = "spotfleet-dev-machines-AutoScalingGroup-1A2B"
DESCRIBED = f"<member><InstanceId>i-1</InstanceId><AutoScalingGroupName>{GROUP}</AutoScalingGroupName></member>"


class Services(BaseHTTPRequestHandler):
    """The metadata service, the ECS agent and Auto Scaling, at one address."""

    asked: list[dict[str, str]]
    agent_asked: int
    refusals: int

    def do_PUT(self) -> None:
        """Give a token of the metadata service."""
        assert self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self._answer(200, "token")

    def do_GET(self) -> None:
        """Answer as the metadata service, or as an agent that joins by and by."""
        if self.path == "/v1/metadata":
            type(self).agent_asked += 1
            joined = '"arn:aws:ecs:1"' if self.agent_asked > 1 else "null"
            self._answer(200, f'{{"Cluster":"web","ContainerInstanceArn":{joined}}}')
        else:
            assert self.headers["X-aws-ec2-metadata-token"] == "token"
            self._answer(200, METADATA[self.path.removeprefix("/latest/meta-data/")])

    def do_POST(self) -> None:
        """Answer as Auto Scaling, which knows of no wait at first."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        scope = signature.check(signature.Request("POST", self.path, headers, body), KEY)
        assert scope == signature.Scope("ASIAEXAMPLE", "eu-west-1", "autoscaling")
        assert headers["x-amz-security-token"] == "a//session+token=="
        asked = {name: value for name, (value,) in parse_qs(body.decode()).items()}
        self.asked.append(asked)
        if asked["Action"] == "DescribeAutoScalingInstances":
            self._answer(200, DESCRIBED)
        elif self.refusals:
            type(self).refusals -= 1
            self._answer(400, "<Code>ValidationError</Code><Message>No active Lifecycle Action found</Message>")
        else:
            self._answer(200, "<CompleteLifecycleActionResponse/>")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def services() -> Iterator[ThreadingHTTPServer]:
    """The services, of which the last one refuses once."""
    handler = type("Asked", (Services,), {"asked": [], "agent_asked": 0, "refusals": 1})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def script(url: str) -> str:
    """Return what the machine runs beside its user data, with the test's address in the place of all others."""
    environment = changed()
    data = environment.properties("machines", "LaunchTemplate")["LaunchTemplateData"]
    found = re.search(r"<<'SCRIPT'\n(.*?)^SCRIPT$", data["UserData"]["Fn::Base64"]["Fn::Sub"], re.DOTALL | re.MULTILINE)
    assert found
    text = found[1].replace("${AWS::Region}", "eu-west-1").replace("${AWS::URLSuffix}", "amazonaws.com")
    assert "${" not in text
    for place in ("http://169.254.169.254", "http://127.0.0.1:51678", "https://autoscaling.eu-west-1.amazonaws.com"):
        assert place in text
        text = text.replace(place, url)
    return text.replace("sleep 5", "sleep 0.01")


def test_a_machine_asks_for_service_once_its_agent_has_joined(services: ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{services.server_port}"
    done = subprocess.run(["bash", "-c", script(url)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    handler = services.RequestHandlerClass
    described, *completed = handler.asked[::2][:1] + handler.asked[1::2]  # type: ignore[attr-defined]
    assert described["InstanceIds.member.1"] == "i-1"
    # Refused once, as the group does not hold it yet.
    assert [asked["Action"] for asked in completed] == ["CompleteLifecycleAction"] * 2
    (hook,) = changed().properties("machines", "AutoScalingGroup")["LifecycleHookSpecificationList"]
    assert completed[1] == {
        **{"Version": "2011-01-01", "Action": "CompleteLifecycleAction", "LifecycleActionResult": "CONTINUE"},
        **{"LifecycleHookName": hook["LifecycleHookName"], "AutoScalingGroupName": GROUP, "InstanceId": "i-1"},
    }

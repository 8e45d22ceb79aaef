"""The embedded AWS as tests run it without Docker, and the stacks that they make in it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import WaiterError

from spotfleet.local.host import paths
from tests.support import signed
from tests.support.ports import free_port

REGION = "eu-west-1"
SERVER_SECONDS = 20


class Cloud:
    """The embedded AWS and the stacks of a test."""

    def __init__(self, port: int, pid: int) -> None:
        self._clients: dict[tuple[str, str], Any] = {}
        self.port = port
        self.pid = pid
        self.url = f"http://127.0.0.1:{port}"

    def client(self, service: str, region: str = REGION) -> Any:  # noqa: ANN401  # boto3 makes its class at run time
        """Return a client of it."""
        if (service, region) not in self._clients:
            self._clients[service, region] = self.new_client(service, region)
        return self._clients[service, region]

    def new_client(self, service: str, region: str = REGION) -> Any:  # noqa: ANN401  # as above
        """Return a client that nobody else has."""
        session = boto3.Session("local", signed.key(paths.ROOT, self.port), region_name=region)
        config = Config(retries={"max_attempts": 1}, proxies={})
        return session.client(service, endpoint_url=self.url, config=config)  # type: ignore[call-overload]

    def create(
        self,
        name: str,
        resources: dict[str, Any],
        outputs: dict[str, Any] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> dict[str, str]:
        """Create a stack and return its outputs."""
        return self._apply("create", name, template(resources, outputs, parameters))

    def update(
        self,
        name: str,
        resources: dict[str, Any],
        outputs: dict[str, Any] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> dict[str, str]:
        """Update a stack and return its outputs."""
        return self._apply("update", name, template(resources, outputs, parameters))

    def delete(self, name: str) -> None:
        """Delete a stack."""
        self.client("cloudformation").delete_stack(StackName=name)
        self._wait(name, "stack_delete_complete")

    def _apply(self, verb: str, name: str, body: str) -> dict[str, str]:
        getattr(self.client("cloudformation"), f"{verb}_stack")(StackName=name, TemplateBody=body)
        return self._finished(name, f"stack_{verb}_complete")

    def _finished(self, name: str, waiter: str) -> dict[str, str]:
        self._wait(name, waiter)
        stack = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def _wait(self, name: str, waiter: str) -> None:
        cloudformation = self.client("cloudformation")
        try:
            cloudformation.get_waiter(waiter).wait(StackName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 200})
        except WaiterError as error:
            raise AssertionError(f"{error}: {self.reasons(name)}") from error

    def reasons(self, name: str) -> list[str]:
        """Return why resources of a stack failed."""
        events = self.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
        return [event["ResourceStatusReason"] for event in events if event["ResourceStatus"].endswith("_FAILED")]


def template(
    resources: dict[str, Any], outputs: dict[str, Any] | None, parameters: dict[str, Any] | None = None
) -> str:
    """Return a template; `outputs` maps names to values."""
    values = {name: {"Value": value} for name, value in (outputs or {}).items()}
    sections = {"Parameters": parameters, "Resources": resources, "Outputs": values}
    return json.dumps({name: section for name, section in sections.items() if section})


def get(logical_id: str, attribute: str) -> dict[str, Any]:
    """Return Fn::GetAtt."""
    return {"Fn::GetAtt": [logical_id, attribute]}


def ref(logical_id: str) -> dict[str, str]:
    """Return Ref."""
    return {"Ref": logical_id}


@contextmanager
def running(log: Path, **settings: str) -> Iterator[Cloud]:
    """Run the embedded AWS on a free port, without a Docker engine, for the block; `settings` are its variables."""
    port = free_port()
    variables = os.environ | {"LOCAL_AWS_PORT": str(port), "DOCKER_HOST": "unix:///nonexistent.sock"} | settings
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "spotfleet", "serve"], cwd=paths.ROOT, env=variables, stdout=output, stderr=output
        )
    try:
        started = Cloud(port, process.pid)
        wait_until_it_answers(started, process, log)
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=SERVER_SECONDS)
        for file in sorted((paths.STATE / str(port)).rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        (paths.STATE / str(port)).rmdir()


def wait_until_it_answers(cloud: Cloud, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait for the server, and fail with its log when it ends instead."""
    deadline = time.monotonic() + SERVER_SECONDS
    while True:
        try:
            identity(cloud)
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        else:
            return


def identity(cloud: Cloud) -> dict[str, Any]:
    """Return what the server says about itself."""
    return signed.ask(paths.ROOT, cloud.port, "/_spotfleet")

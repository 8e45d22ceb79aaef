"""What an attacker sends to the embedded AWS, from a web page or as another user of the machine, and does not get."""

import contextlib
import http.client
import itertools
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from ministack.core import router

from spotfleet.local.api import embedded_aws, signature
from spotfleet.local.daemon import process
from spotfleet.local.emulator import operations
from spotfleet.local.host import keys, packages, paths
from tests.support.clouds import REGION, Cloud, running, template
from tests.support.signed import ask, key

# Enough for a container that has the whole machine.
TAKEOVER = {
    "family": "takeover",
    "containerDefinitions": [
        {"name": "a", "image": "b", "mountPoints": [{"sourceVolume": "h", "containerPath": "/h"}]}
    ],
    "volumes": [{"name": "h", "host": {"sourcePath": "/"}}],
}
REGISTER = {
    "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition",
    "Content-Type": "application/x-amz-json-1.1",
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NOBODY = "65534"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Run the embedded AWS without a Docker engine."""
    with running(tmp_path_factory.mktemp("server") / "log") as started:
        yield started


def send(
    cloud: Cloud, method: str, target: str, headers: dict[str, str] | None = None, body: str = ""
) -> tuple[int, dict[str, str], str]:
    """Send a request as it is, and return status, headers and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=10)
    connection.request(method, target, body.encode(), headers or {})
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    connection.close()
    return found


def signed(
    cloud: Cloud, method: str, target: str, service: str, headers: dict[str, str] | None = None, body: str = ""
) -> dict[str, str]:
    """Return the headers of a request that the user's own program makes."""
    plain = {"host": f"127.0.0.1:{cloud.port}", **{name.lower(): value for name, value in (headers or {}).items()}}
    request = signature.Request(method, target, plain, body.encode())
    return plain | signature.sign(request, signature.Scope("local", REGION, service), key(paths.ROOT, cloud.port))


# --- Web pages


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebind.evil.example"},
        {"Host": "rebind.evil.example:{port}"},
        {"Host": "127.0.0.1.evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:{port}@evil.example"},
        {"Host": "[::1]:{port}"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://localhost:{port}"},
        {"Origin": "http://127.0.0.1:{port}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "anything"},
    ],
)
@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/", json.dumps(TAKEOVER)),
        ("GET", "/?Action=CreateVpc&CidrBlock=10.0.0.0/16", ""),
        ("OPTIONS", "/", ""),
        ("GET", "/_spotfleet/page", ""),
        ("GET", "/_spotfleet/page/page.js", ""),
        ("GET", "/v2/", ""),
    ],
)
def test_what_a_page_of_elsewhere_sends_is_refused(
    cloud: Cloud, headers: dict[str, str], method: str, target: str, body: str
) -> None:
    """Even signed, which no page can do: each of these has to be enough by itself."""
    sent = {name.lower(): value.format(port=cloud.port) for name, value in headers.items()}
    own = signed(cloud, method, target, "ecs", REGISTER, body)
    status, answered, _body = send(cloud, method, target, own | sent, body)
    assert status == 403
    assert not [name for name in answered if name.startswith("access-control-")]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND"])
@pytest.mark.parametrize(
    "target",
    [
        *("/", "/?Action=CreateStack", "/_ministack/reset", "/_ministack/config", "/_ministack/health", "/health"),
        *("/2015-03-31/functions", "/_localstack/health", "/_alb/web/", "/_aws/lambda-url/x/", "/v4/abcdefgh/task"),
        *("/bucket/object", "/_spotfleet", "/_spotfleet/page.json", "/restapis/x", "/oauth2/token", "/queue/x"),
        "/_spotfleet/status/dev",
        *("/iceberg/v1/config", "//_ministack/reset", "/%2e%2e/_ministack/reset", "/v2/../_ministack/reset"),
    ],
)
def test_nothing_is_answered_without_a_signature(cloud: Cloud, method: str, target: str) -> None:
    status, answered, _body = send(cloud, method, target)
    assert status in {400, 401, 403}
    assert not [name for name in answered if name.startswith("access-control-")]


def test_a_preflight_is_given_no_leave(cloud: Cloud) -> None:
    asking = {"Origin": f"http://127.0.0.1:{cloud.port}", "Access-Control-Request-Method": "POST"}
    status, answered, _body = send(cloud, "OPTIONS", "/", asking)
    assert status == 403
    assert "access-control-allow-origin" not in answered


def test_no_answer_grants_cors(cloud: Cloud) -> None:
    target = "AmazonEC2ContainerServiceV20141113.ListClusters"
    headers = signed(cloud, "POST", "/", "ecs", {"X-Amz-Target": target}, "{}")
    status, answered, _body = send(cloud, "POST", "/", headers, "{}")
    assert status == 200
    assert not [name for name in answered if name.startswith("access-control-")]


def test_a_websocket_is_refused(cloud: Cloud) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    assert send(cloud, "GET", "/", upgrade)[0] == 403


@pytest.mark.parametrize("doubled", ["Host", "Origin", "Authorization", "X-Amz-Target", "X-Amz-Date"])
def test_what_could_be_read_in_two_ways_is_refused(cloud: Cloud, doubled: str) -> None:
    headers = signed(
        cloud, "POST", "/", "ecs", {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters"}, "{}"
    )
    headers.setdefault("origin", f"http://127.0.0.1:{cloud.port}")
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += ["Content-Length: 2", f"{doubled}: {headers[doubled.lower()]}"]
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=10) as connection:
        connection.sendall(("POST / HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n{}").encode())
        assert connection.recv(1000).split(b" ")[1] == b"400"


def test_the_path_of_another_host_is_refused(cloud: Cloud) -> None:
    assert send(cloud, "GET", "http://evil.example/")[0] in {400, 403}


def test_the_page_shows_nothing_without_its_key(cloud: Cloud) -> None:
    status, headers, body = send(cloud, "GET", "/_spotfleet/page")
    assert status == 200
    assert str(cloud.pid) not in body
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; connect-src 'self';")
    assert "unsafe" not in policy
    for authorization in ("", "Bearer ", "Bearer x", "Basic QVdTOng=", f"Bearer {key(paths.ROOT, cloud.port)}"):
        assert send(cloud, "GET", "/_spotfleet/page.json", {"Authorization": authorization})[0] == 403
    own = {"Authorization": f"Bearer {keys.of_page(key(paths.ROOT, cloud.port))}"}
    status, _headers, body = send(cloud, "GET", "/_spotfleet/page.json", own)
    assert (status, json.loads(body)["environments"]) == (200, [])


def test_the_files_of_the_page_are_read_only_and_the_only_ones_there(cloud: Cloud) -> None:
    status, headers, body = send(cloud, "GET", "/_spotfleet/page/page.js")
    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert str(cloud.pid) not in body
    assert send(cloud, "GET", "/_spotfleet/page/page.js", {"If-None-Match": headers["etag"]})[::2] == (304, "")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert send(cloud, method, "/_spotfleet/page/page.js")[0] == 403
    for path in ("/../page.py", "/%2e%2e/page.py", "/..%2fpage.py", "/vendor", "//etc/passwd", "/page.js/"):
        assert send(cloud, "GET", f"/_spotfleet/page{path}")[0] == 403


class EvilPage(BaseHTTPRequestHandler):
    """A page of elsewhere that tries what a page can: pictures, forms, fetches; to each of `hosts`."""

    hosts: tuple[str, ...] = ()
    script = """
        const show = (text) => document.getElementById("result").append(text + "\\n");
        const attack = async (host) => {
            document.body.append(Object.assign(new Image(), {src: `${host}/?Action=CreateVpc&CidrBlock=10.66.0.0/16`}));
            const frame = Object.assign(document.createElement("iframe"), {name: host});
            const form = document.createElement("form");
            Object.assign(form, {method: "post", action: `${host}/`, target: host});
            for (const [name, value] of Object.entries(FORM)) {
                form.append(Object.assign(document.createElement("input"), {name, value}));
            }
            document.body.append(frame, form);
            form.submit();
            const ask = (options) => fetch(`${host}/`, options).then(() => "answered", () => "blocked");
            show(await ask({method: "POST", body: JSON.stringify(TAKEOVER), headers: REGISTER}));
            show(await ask({method: "POST", body: "Action=CreateVpc&CidrBlock=10.67.0.0/16", headers: {}}));
            show(await ask({}));
            await ask({method: "POST", mode: "no-cors", body: new URLSearchParams(FORM)});
        };
        Promise.all(HOSTS.map(attack)).then(() => show("done"));"""
    stack = template({"T": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "got in"}}}, None)
    form: ClassVar[dict[str, str]] = {"Action": "CreateStack", "StackName": "evil", "TemplateBody": stack}

    def do_GET(self) -> None:
        """Answer with the page."""
        values = {"HOSTS": self.hosts, "FORM": self.form, "TAKEOVER": TAKEOVER, "REGISTER": REGISTER}
        constants = "".join(f"const {name} = {json.dumps(value)};" for name, value in values.items())
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(f'<body><pre id="result"></pre><script>{constants}{self.script}</script>'.encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.mark.e2e
@pytest.mark.parametrize("address_space", ["loopback", "public"])
def test_a_browser_on_an_evil_page_gets_nothing(cloud: Cloud, tmp_path: Path, address_space: str) -> None:
    browser = shutil.which("google-chrome") or "chromium"
    packages.ensure(browser, "Chromium (it opens an attacker's page)")
    before = state(cloud)
    # By its number, by its name, and by a name of the page's own that leads here (rebinding).
    EvilPage.hosts = tuple(f"http://{host}:{cloud.port}" for host in ("127.0.0.1", "localhost", "rebind.evil.example"))
    with ThreadingHTTPServer(("127.0.0.1", 0), EvilPage) as evil:
        threading.Thread(target=evil.serve_forever, daemon=True).start()
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        command += ["--host-resolver-rules=MAP *.evil.example 127.0.0.1", f"--user-data-dir={tmp_path}"]
        if address_space == "public":
            command.append(f"--ip-address-space-overrides=127.0.0.1:{evil.server_port}=public")
        url = f"http://www.evil.example:{evil.server_port}/"
        shown = subprocess.run(
            [*command, "--virtual-time-budget=20000", "--dump-dom", url],
            capture_output=True, text=True, check=True, timeout=240,
        ).stdout  # fmt: skip
        evil.shutdown()
    results = shown.partition('<pre id="result">')[2].partition("</pre>")[0].split()
    assert results == ["blocked"] * 9 + ["done"]
    assert state(cloud) == before


def state(cloud: Cloud) -> dict[str, Any]:
    """Return what an attacker would have changed."""
    return {
        "vpcs": sorted(vpc["CidrBlock"] for vpc in cloud.client("ec2").describe_vpcs()["Vpcs"]),
        "stacks": [stack["StackName"] for stack in cloud.client("cloudformation").describe_stacks()["Stacks"]],
        "definitions": cloud.client("ecs").list_task_definitions()["taskDefinitionArns"],
    }


# --- Other users of the machine


def as_nobody(*command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a user who owns nothing."""
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    become = [] if Path("/proc/self").stat().st_uid == 0 else ["sudo", "-n"]
    return subprocess.run([*become, *drop, *command], capture_output=True, text=True, check=False, cwd="/", timeout=240)


def test_another_user_gets_nothing(cloud: Cloud) -> None:
    folder = paths.STATE / str(cloud.port)
    assert as_nobody("true").returncode == 0, "root, or sudo without a password, is needed to be somebody else"
    for file in ("key", "running", "."):
        assert as_nobody("cat", str(folder / file)).returncode != 0
    before = state(cloud)
    script = f"""
import http.client, json
for headers in ({{}}, {{"Authorization": "AWS4-HMAC-SHA256 Credential=local/20261126/eu-west-1/ecs/aws4_request, "
                  "SignedHeaders=host;x-amz-date, Signature={"0" * 64}", "X-Amz-Date": "20261126T000000Z"}}):
    connection = http.client.HTTPConnection("127.0.0.1", {cloud.port}, timeout=10)
    connection.request("POST", "/", {json.dumps(TAKEOVER)!r}, {REGISTER} | headers)
    print(connection.getresponse().status)
"""
    # An interpreter that every user can run: the one of the tests may be in a folder of its owner's.
    sent = as_nobody("/usr/bin/python3", "-c", script)
    assert sent.stdout.split() == ["403", "403"], sent.stderr
    assert state(cloud) == before


def test_what_it_writes_is_for_its_owner_only(cloud: Cloud) -> None:
    folder = paths.STATE / str(cloud.port)
    cloud.create("written", {"P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "v"}}})
    for path in (paths.STATE, folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
    cloud.delete("written")


def test_who_listens_in_its_place_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another user can wait for the port, and then be sent stacks, images and the signal that ends a process."""
    proof, redirecting = "", False

    class Impostor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if redirecting else 200)
            if redirecting:
                self.send_header("Location", "http://evil.example/")
            self.send_header(embedded_aws.PROOF_HEADER, proof)
            self.end_headers()
            self.wfile.write(json.dumps({"folder": str(paths.ROOT), "pid": 1, "stacks": []}).encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    monkeypatch.setattr(paths, "STATE", tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), Impostor) as impostor:
        threading.Thread(target=impostor.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("LOCAL_AWS_PORT", str(impostor.server_port))
        keys.make()
        for proof, redirecting in (("0" * 64, False), ("\xe9", False), ("", False), ("0" * 64, True)):  # noqa: B007
            assert embedded_aws.find() is None
            assert process.stop() is False
        impostor.shutdown()


# --- Signatures


def client(cloud: Cloud, service: str, secret: str) -> Any:  # noqa: ANN401  # boto3 makes its class at run time
    """Return a client with a key of its own."""
    session = boto3.Session("local", secret, region_name=REGION)
    config = Config(retries={"max_attempts": 1}, proxies={})
    return session.client(service, endpoint_url=cloud.url, config=config)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("service", "operation"),
    # One of each protocol: the words have to reach a person in all of them.
    [
        *(("ecs", "list_clusters"), ("ec2", "describe_vpcs"), ("cloudformation", "describe_stacks")),
        *(("cloudwatch", "list_metrics"), ("s3", "list_buckets")),
    ],
)
def test_another_key_is_refused_in_words(cloud: Cloud, service: str, operation: str) -> None:
    getattr(cloud.client(service), operation)()
    session = boto3.Session("local", key(paths.ROOT, cloud.port)[:-1], region_name=REGION)
    config = Config(retries={"max_attempts": 1}, proxies={})
    client = session.client(service, endpoint_url=cloud.url, config=config)  # type: ignore[call-overload]
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)()
    error = caught.value.response["Error"]
    assert error["Code"] == "SignatureDoesNotMatch"
    assert "spotfleet env" in error["Message"]


def test_a_signature_is_for_one_request_only() -> None:
    headers = {"host": "127.0.0.1:4566", "x-amz-target": "AmazonSSM.GetParameter"}
    scope = signature.Scope("local", REGION, "ssm")
    made = signature.Request("POST", "/", headers, b"{}")
    own = headers | signature.sign(made, scope, "key")
    right = signature.Request("POST", "/", own, b"{}")
    assert signature.check(right, "key") == scope
    others = [
        signature.Request("GET", "/", own, b"{}"),
        signature.Request("POST", "/other", own, b"{}"),
        signature.Request("POST", "/?a=b", own, b"{}"),
        signature.Request("POST", "/", own, b"{ }"),
        signature.Request("POST", "/", own | {"host": "localhost:4566"}, b"{}"),
        signature.Request("POST", "/", own | {"x-amz-target": "AmazonSSM.PutParameter"}, b"{}"),
        signature.Request("POST", "/", own | {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, b"{}"),
        signature.Request("POST", "/", own | {"authorization": own["authorization"].replace("ssm", "s3")}, b"{}"),
        signature.Request("POST", "/", own | {"authorization": own["authorization"].replace("host;", "")}, b"{}"),
        signature.Request("POST", "/", own | {"authorization": ""}, b"{}"),
        signature.Request("POST", "/", own | {"x-amz-date": "yesterday"}, b"{}"),
        signature.Request("POST", "/", own | {"x-amz-added": "1"}, b"{}"),
        signature.Request("POST", "/", own | {"content-type": "text/plain"}, b"{}"),
    ]
    for other in others:
        with pytest.raises(signature.Unsigned):
            signature.check(other, "key")
    for minutes in (-16, 16):
        with pytest.raises(signature.Unsigned, match="15 minutes"):
            signature.check(right, "key", datetime.now(UTC) + timedelta(minutes=minutes))


def test_each_start_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(paths, "STATE", tmp_path)
    first, second = keys.make(), keys.make()
    assert first != second == keys.read()
    assert len({first, keys.of_page(first), keys.of_registry(first), keys.proof(first, "", "/", b"")}) == 4
    assert stat.S_IMODE(paths.key_file().stat().st_mode) == 0o600
    keys.forget()
    assert keys.read() is None


# --- What it answers


def query(action: str) -> tuple[str, dict[str, str], str]:
    """Return path, headers and body of a request in the query protocol."""
    return "/", FORM, f"Action={action}&Version=2016-11-15"


def target(name: str) -> tuple[str, dict[str, str], str]:
    """Return path, headers and body of a request in the JSON protocol."""
    return "/", {"x-amz-target": name, "content-type": "application/x-amz-json-1.1"}, "{}"


@pytest.mark.parametrize(
    ("service", "method", "asked"),
    [
        ("lambda", "GET", ("/2015-03-31/functions", {}, "")),
        ("lambda", "POST", ("/2015-03-31/functions/f/invocations", {}, "{}")),
        ("codebuild", "POST", target("CodeBuild_20161006.ListProjects")),
        ("rds", "POST", query("DescribeDBInstances")),
        ("eks", "GET", ("/clusters", {}, "")),
        ("kinesis", "POST", target("Kinesis_20131202.ListStreams")),
        ("events", "POST", target("AWSEvents.CreateApiDestination")),
        ("events", "POST", target("AWSEvents.CreateConnection")),
        ("ecs", "POST", target("AmazonEC2ContainerServiceV20141113.RunTask")),
        ("ecs", "POST", target("AmazonEC2ContainerServiceV20141113.ExecuteCommand")),
        ("iam", "POST", query("CreateUser")),
        ("iam", "POST", query("CreateAccessKey")),
        ("sts", "POST", query("GetSessionToken")),
        ("ec2", "POST", query("DeleteVpc")),
        ("ec2", "POST", query("describeVpcs")),
        ("s3", "PUT", ("/bucket?acl", {}, "")),
        ("s3", "POST", ("/bucket/object", {}, "")),
        ("s3", "GET", ("/2015-03-31/functions", {}, "")),
        ("route53", "POST", ("/2013-04-01/hostedzone", {}, "")),
        ("secretsmanager", "POST", target("secretsmanager.GetRandomPassword")),
        # Signed for one service, and meant for another one.
        ("ecs", "POST", ("/2015-03-31/functions", {}, "{}")),
        ("ecs", "POST", ("/_ministack/reset", {}, "")),
        ("ecs", "POST", target("AWSLambda.Invoke")),
        ("ecs", "POST", target("AmazonSSM.PutParameter")),
        ("ec2", "POST", target("AmazonEC2ContainerServiceV20141113.RunTask")),
        ("ec2", "POST", ("/?Action=RunInstances", FORM, "Action=DescribeVpcs")),
        ("ec2", "POST", ("/", FORM, "Action=DescribeVpcs&Action=CreateVpc")),
        ("ec2", "POST", ("/", {}, "Action=DescribeVpcs")),
        ("ec2", "POST", ("/", FORM | {"content-encoding": "gzip"}, "Action=DescribeVpcs")),
        ("spotfleet", "POST", query("DescribeVpcs")),
        ("s3", "PUT", ("/abc", {"x-amz-target": "CodeBuild_20161006.StartBuild"}, "")),
        ("s3", "GET", ("/", {"x-amz-target": "AmazonEC2ContainerServiceV20141113.RunTask"}, "")),
        ("route53", "DELETE", ("/2013-04-01/hostedzone", {"x-amz-target": "AWSStepFunctions.StartExecution"}, "")),
        # Another body behind the gate than before it.
        (
            "sns",
            "POST",
            ("/", FORM | {"x-amz-decoded-content-length": "9"}, "9;&Action=ListTopics&y=\r\nAction=Pub\r\n0"),
        ),
        ("s3", "PUT", ("/abc/d", {"content-encoding": "aws-chunked"}, "0\r\n\r\n")),
        ("s3", "PUT", ("/abc/d", {"x-amz-trailer": "x-amz-checksum-crc32"}, "0\r\n\r\n")),
        ("s3", "POST", ("/_ministack/reset", {}, "")),
        ("s3", "GET", ("/iceberg?delete", {}, "")),
        ("s3", "GET", ("/v20180820/mrap", {}, "")),
        ("monitoring", "POST", ("/service/AWSLambda/operation/Invoke", {}, "")),
    ],
)
def test_what_nothing_here_uses_is_not_answered(
    cloud: Cloud, service: str, method: str, asked: tuple[str, dict[str, str], str]
) -> None:
    path, headers, body = asked
    status, _headers, answered = send(cloud, method, path, signed(cloud, method, path, service, headers, body), body)
    assert status == 400
    assert "The embedded AWS does not answer this" in answered


@pytest.mark.parametrize("path", ["/_spotfleet", "/_spotfleet/status/dev"])
def test_the_commands_alone_are_told_who_it_is_and_what_it_has(cloud: Cloud, path: str) -> None:
    assert send(cloud, "GET", path, signed(cloud, "GET", path, "ecs"))[0] == 403


@pytest.mark.parametrize("name", ["dev", "eu/live", "a name/../%2e"])
def test_a_status_is_told_of_the_environment_that_is_named(cloud: Cloud, name: str) -> None:
    told = ask(paths.ROOT, cloud.port, f"/_spotfleet/status/{quote(name)}")
    assert (told["folder"], told["status"]["environment"]) == (str(paths.ROOT), name)


def test_the_registry_wants_its_login(cloud: Cloud) -> None:
    for authorization in (
        {},
        {"Authorization": "Basic QVdTOm1pbmlzdGFjay1hdXRoLXRva2Vu"},
        {"Authorization": "Bearer x"},
    ):
        for target in ("/v2/", "/v2/_catalog", "/v2/web/manifests/1", "/v2/web/blobs/uploads/"):
            status, headers, _body = send(cloud, "POST" if "uploads" in target else "GET", target, authorization)
            assert status == 401
            assert headers["www-authenticate"].startswith("Basic ")
    token = cloud.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    login = {"Authorization": f"Basic {token}"}
    assert send(cloud, "GET", "/v2/", login)[0] == 200
    # The login opens the registry, and nothing else that is below the same path.
    for target in ("/v2/anything", "/v2/?Action=CreateUser", "/v2/email/identities", "/v2/apis", "/v2/credentials/x"):
        assert send(cloud, "POST", target, login)[0] == 404
    for target in (
        "/v2/email/blobs/uploads/",
        "/v2/../blobs/x",
        "/v2/a/%2e%2e/blobs/x",
        "/v2/a/blobs/x?Action=RunTask",
    ):
        assert send(cloud, "POST", target, login)[0] == 404
    started = login | {"X-Amz-Target": "CodeBuild_20161006.StartBuild"}
    assert send(cloud, "POST", "/v2/web/blobs/uploads/", started, "{}")[0] == 404


def test_a_body_is_not_kept_without_end(cloud: Cloud) -> None:
    """The length tells, before the body is there; without one it is counted."""
    own = signed(cloud, "POST", "/", "ssm", {"X-Amz-Target": "AmazonSSM.GetParameter"}, "{}")
    lines = "".join(f"{name}: {value}\r\n" for name, value in own.items())
    mebibyte = b"100000\r\n" + bytes(2**20) + b"\r\n"
    for length, body in (("Content-Length: 9000000", b""), ("Transfer-Encoding: chunked", mebibyte * 9)):
        with socket.create_connection(("127.0.0.1", cloud.port), timeout=10) as connection:
            connection.sendall(f"POST / HTTP/1.1\r\n{lines}{length}\r\n\r\n".encode())
            with contextlib.suppress(OSError):
                connection.sendall(body)
            assert connection.recv(1000).split(b" ")[1] == b"413"


# --- Containers and templates

HOSTILE_DEFINITIONS: dict[str, dict[str, Any]] = {
    "a folder of the machine": {"volumes": [{"name": "v", "host": {"sourcePath": "/"}}]},
    "a volume with a driver": {
        "volumes": [
            {"name": "v", "dockerVolumeConfiguration": {"driverOpts": {"type": "none", "device": "/", "o": "bind"}}}
        ]
    },
    "its network": {"networkMode": "host"},
    "its processes": {"pidMode": "host"},
    "its shared memory": {"ipcMode": "host"},
    "everything": {"container": {"privileged": True}},
    "everything, in words": {"container": {"privileged": "true"}},
    "capabilities": {"container": {"linuxParameters": {"capabilities": {"add": ["SYS_ADMIN"]}}}},
    "all capabilities": {"container": {"linuxParameters": {"capabilities": {"add": ["all"]}}}},
    "prefixed capabilities": {"container": {"linuxParameters": {"capabilities": {"add": ["cap_sys_ptrace"]}}}},
    "devices": {"container": {"linuxParameters": {"devices": [{"hostPath": "/dev/sda"}]}}},
    "a place before the machine's own work": {
        "container": {"ulimits": [{"name": "rtprio", "softLimit": 99, "hardLimit": 99}]}
    },
    "system calls": {"container": {"dockerSecurityOptions": ["seccomp=unconfined"]}},
}


def definition(changes: dict[str, Any]) -> dict[str, Any]:
    """Return a task definition with such changes; those under "container" are its container's."""
    task = {name: value for name, value in changes.items() if name != "container"}
    container = {"name": "web", "image": "busybox", "memory": 64, **changes.get("container", {})}
    return {"family": "hostile", "containerDefinitions": [container], **task}


@pytest.mark.parametrize("changes", HOSTILE_DEFINITIONS.values(), ids=HOSTILE_DEFINITIONS)
def test_no_task_definition_gets_the_machine(cloud: Cloud, changes: dict[str, Any]) -> None:
    body = json.dumps(definition(changes))
    status, _headers, answered = send(cloud, "POST", "/", signed(cloud, "POST", "/", "ecs", REGISTER, body), body)
    assert status == 400
    assert "ClientException" in answered
    assert "Refused on the embedded AWS" in answered


@pytest.mark.parametrize("changes", HOSTILE_DEFINITIONS.values(), ids=HOSTILE_DEFINITIONS)
def test_no_template_gets_the_machine(cloud: Cloud, changes: dict[str, Any]) -> None:
    resource = {"Type": "AWS::ECS::TaskDefinition", "Properties": pascal(definition(changes))}
    with pytest.raises(AssertionError, match="Refused on the embedded AWS"):
        cloud.create("hostile", {"Task": resource})
    cloud.delete("hostile")


def pascal(value: Any) -> Any:  # noqa: ANN401  # JSON
    """Return an API's parameters as a template writes them."""
    if isinstance(value, dict):
        return {name[0].upper() + name[1:]: pascal(item) for name, item in value.items()}
    return [pascal(item) for item in value] if isinstance(value, list) else value


def test_what_containers_need_is_given(cloud: Cloud) -> None:
    harmless = definition(
        {
            "networkMode": "bridge",
            "volumes": [{"name": "scratch"}, {"name": "other", "host": {}}],
            "container": {
                "linuxParameters": {"capabilities": {"add": ["CHOWN", "CAP_KILL"], "drop": ["ALL"]}},
                "dockerSecurityOptions": ["no-new-privileges"],
                "privileged": False,
                "user": "0",
            },
        }
    )
    cloud.client("ecs").register_task_definition(**harmless)


@pytest.mark.parametrize(
    "kind",
    [
        *("AWS::Lambda::Function", "AWS::CloudFormation::CustomResource", "AWS::CodeBuild::Project"),
        *("AWS::RDS::DBInstance", "AWS::EKS::Cluster", "AWS::CloudFormation::Stack", "AWS::ElastiCache::CacheCluster"),
    ],
)
def test_no_template_runs_anything_but_tasks(cloud: Cloud, kind: str) -> None:
    with pytest.raises(ClientError, match="Unrecognized resource types"):
        cloud.create("running", {"R": {"Type": kind, "Properties": {}}})


# --- Shells


def shell(script: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a script with `python` for the interpreter of the tests, and the variables of a user with a real account."""
    real = {"AWS_PROFILE": "prod", "AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_SECRET_ACCESS_KEY": "real", "AWS_X": "1"}
    return subprocess.run(
        ["sh", "-c", script.replace("python", sys.executable)],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **real, **variables},
        cwd=paths.ROOT, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ("env", {"LOCAL_AWS_PORT": "abc"}),
        ("env", {"LOCAL_AWS_PORT": "1"}),
        ("env nowhere", {}),
        ("env --mistyped", {}),
        ("env dev too many", {}),
        ("env", {"PYTHONPATH": "broken"}),
        # It would be run: usage: python ...
        ("env --help", {}),
    ],
)
def test_a_failed_env_leads_nowhere_and_fails(tmp_path: Path, arguments: str, variables: dict[str, str]) -> None:
    if "PYTHONPATH" in variables:
        # A package that is missing, or not installed as a whole.
        (tmp_path / "jinja2.py").write_text("raise ImportError('No module named jinja2')")
        variables = {"PYTHONPATH": str(tmp_path)}
    result = shell(f'eval "$(python -m spotfleet {arguments})"; echo $? $AWS_ENDPOINT_URL; env', **variables)
    assert "Traceback" not in result.stderr
    first, *others = result.stdout.splitlines()
    assert first == "1 http://127.0.0.1:1"
    left = dict(line.partition("=")[::2] for line in others if line.startswith("AWS_"))
    assert "AWS_PROFILE" not in left
    assert "AWS_X" not in left
    assert left["AWS_ACCESS_KEY_ID"] == "none"


def test_a_script_ends_where_env_fails() -> None:
    assert shell('set -eu; eval "$(python -m spotfleet env nowhere)"; echo on').stdout == ""


def test_env_leads_to_the_embedded_aws_only(cloud: Cloud) -> None:
    hostile = {
        "LOCAL_AWS_PORT": str(cloud.port),
        "NO_PROXY": "a.example",
        "AWS_ENDPOINT_URL_ECS": "http://evil.example",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_ENDPOINT_URL_X;touch evil;#": "1",
        "BOTO_CONFIG": "/evil",
    }
    result = shell('eval "$(python -m spotfleet env)"; echo $?; env', **hostile)
    first, *others = result.stdout.splitlines()
    assert first == "0", result.stderr
    left = dict(line.partition("=")[::2] for line in others if line.startswith(("AWS_", "BOTO", "NO_PROXY")))
    assert left.pop("AWS_SECRET_ACCESS_KEY") == key(paths.ROOT, cloud.port)
    assert left == {
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "a.example,127.0.0.1,localhost",
    }
    # No shell hands it on, and nothing has run it.
    assert not Path(paths.ROOT, "evil").exists()


def test_what_the_gate_has_read_is_what_is_answered() -> None:
    """MiniStack finds out by itself which service a request is for: it must come to the same."""
    scopes = sorted(operations.CHANGING)
    targets = [None, *(f"{prefix}.GetX" for prefix in operations.JSON_TARGETS), "AmazonSQS.SendMessage", "AWSLambda.X"]
    paths = ["/", "/abc/d", "/2013-04-01/hostedzone", "/service/GraniteServiceVersion20100801/operation/GetMetricData"]
    passed = set()
    for service, name, path, method in itertools.product(scopes, targets, paths, ("GET", "POST", "PUT", "DELETE")):
        headers = {"authorization": f"AWS4-HMAC-SHA256 Credential=local/20261126/{REGION}/{service}/aws4_request"}
        headers |= {"host": "127.0.0.1:4566", "content-type": FORM["Content-Type"]}
        headers |= {"x-amz-target": name} if name else {}
        request = signature.Request(method, path, headers, b"Action=DescribeX")
        with contextlib.suppress(operations.NotAnswered):
            operation = operations.require_answered(request, service)
            found = router.detect_service(method, path, headers, {"Action": ["DescribeX"]})
            # Application Auto Scaling is answered before MiniStack.
            assert operation.service in {found, "application-autoscaling"}, (found, request)
            passed.add(operation.service)
    assert passed == set(scopes)


def test_no_other_service_is_behind_the_gate(cloud: Cloud) -> None:
    """Should the gate be fooled once more, there is nothing to reach."""
    script = "from spotfleet.local.emulator import application; from ministack import app; application.application('k')"
    script += "; print(*sorted(app.SERVICE_HANDLERS))"
    kept = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "GATEWAY_PORT": str(cloud.port), "LOCAL_AWS_PORT": str(cloud.port)},
        cwd=paths.ROOT, capture_output=True, text=True, check=True, timeout=120,
    ).stdout.split()  # fmt: skip
    assert set(kept) <= set(operations.CHANGING)
    assert {"ecs", "ec2", "cloudformation"} <= set(kept)

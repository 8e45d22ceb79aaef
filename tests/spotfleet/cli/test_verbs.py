"""The command `spotfleet`: its verbs, their options and exit codes, and what they say."""

import json
import os
import shutil
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import click
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from click.testing import CliRunner, Result

from spotfleet.behaviour.machine_life import NOTICE_TAG, Machine
from spotfleet.behaviour.machine_losses import RECOMMENDATION_TAG
from spotfleet.cli import execute, fleet, load, logs, main, services, status, why
from spotfleet.cli.fleet import Fleet
from spotfleet.cli.services import Service
from spotfleet.local.api import clients, embedded_aws
from spotfleet.local.daemon import environment_status
from spotfleet.local.daemon.environment_status import Status
from spotfleet.local.host import paths, variables
from spotfleet.local.host.console import Failure
from spotfleet.stacks import gather
from spotfleet.stacks.causes.first_cause import Explanation
from spotfleet.stacks.causes.words import Cause
from tests.support.answers import Answer, answering
from tools.cli_page import PAGE, page

Invoke = Callable[..., Result]
VERBS = {name: main.verb(name) for name in main.VERBS}


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Return what runs a verb in this process, whose variables it leaves alone."""
    monkeypatch.setattr(variables, "enter", lambda: dict(os.environ))
    return lambda *arguments: CliRunner().invoke(main.spotfleet, arguments, prog_name="spotfleet")


@pytest.fixture
def no_embedded_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no embedded AWS run."""
    monkeypatch.setattr(embedded_aws, "find", lambda: None)


# --- The group


def test_the_page_of_the_verbs_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python -m tools.cli_page"


@pytest.mark.parametrize("name", main.VERBS)
def test_every_verb_and_option_has_help(name: str, invoke: Invoke) -> None:
    verb = VERBS[name]
    assert verb.name == name
    assert verb.help
    assert [option.name for option in verb.params if isinstance(option, click.Option) and not option.help] == []
    shown = invoke(name, "--help")
    assert shown.exit_code == 0
    # On one line in the list of all verbs.
    assert "..." not in verb.get_short_help_str(limit=90)


def test_looking_at_an_environment_does_not_import_what_a_launch_needs() -> None:
    look = "import sys; from spotfleet.cli import main; main.verb('status'); print('sceptre.plan' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True).stdout == "False\n"


def test_all_verbs_are_there() -> None:
    assert list(VERBS) == [
        *(
            "plan",
            "up",
            "status",
            "why",
            "open",
            "logs",
            "exec",
            "load",
            "interrupt",
            "kill",
            "capacity",
            "rates",
            "refuse",
            "machine-image",
            "convert",
            "env",
            "down",
            "serve",
        ),
    ]
    assert [name for name, verb in VERBS.items() if "as_json" in [option.name for option in verb.params]] == [
        *("plan", "status", "why", "open", "logs", "load", "interrupt", "kill", "capacity", "rates", "machine-image"),
        "convert",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("up", "--fast"),
        ("status", "dev", "prod"),
        ("load", "--rps", "many"),
        ("interrupt", "--share", "0"),
        ("interrupt", "--share", "2"),
        ("interrupt", "--all", "--share", "0.5"),
        ("interrupt", "--all", "--machine", "i-1"),
        ("interrupt", "--all", "--pool", "t3.micro/eu-west-1a"),
        ("interrupt", "--lead", "60", "--no-recommendation"),
        ("capacity", "--for", "0"),
        ("why", "dev", "--fast"),
        ("exec",),
        ("exec", "service"),
        ("exec", "service", "ls", "--"),
    ],
)
def test_a_wrong_call_ends_with_2(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.usefixtures("no_embedded_aws")
@pytest.mark.parametrize(
    "arguments",
    [
        *(("status",), ("open",), ("logs",), ("exec", "--", "x"), ("load",), ("interrupt",), ("kill",), ("rates",)),
        *(("capacity",), ("machine-image",), ("why",), ("refuse", "vpcs")),
        *(("env",), ("logs", "--json"), ("status", "--json")),
    ],
)
def test_without_an_embedded_aws_one_line_says_how_to_start_it(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "spotfleet up" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("no_embedded_aws")
def test_a_message_that_names_the_command_can_be_pasted(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    hint = "run `. .venv/bin/activate` first"
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert hint in invoke("status").stderr
    # It names none.
    assert hint not in invoke("status", "nowhere").stderr
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/spotfleet")
    assert hint not in invoke("status").stderr


@pytest.mark.parametrize(
    "command", [[sys.executable, "-m", "spotfleet"], [str(Path(sys.executable).parent / "spotfleet")]]
)
def test_it_is_called_spotfleet_from_any_folder(tmp_path: Path, command: list[str]) -> None:
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LOCAL_AWS_PORT": "1"}
    if "-m" in command:
        variables["PYTHONPATH"] = str(paths.ROOT)
    shown = subprocess.run(
        [*command, "status"], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=60
    )
    assert shown.returncode == 1
    assert "Start it and launch with: spotfleet up dev" in shown.stderr


# --- open


def test_open_starts_a_browser_and_prints_the_address(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    opened: list[str] = []

    def start(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(embedded_aws, "find", lambda: {"stacks": []})
    monkeypatch.setattr(embedded_aws, "page_url", lambda: "http://127.0.0.1:1/page#key")
    monkeypatch.setattr(webbrowser, "open", start)
    assert invoke("open").stdout == "http://127.0.0.1:1/page#key\n"
    assert json.loads(invoke("open", "--json").stdout) == {"url": "http://127.0.0.1:1/page#key", "opened": True}
    assert opened == ["http://127.0.0.1:1/page#key"] * 2
    monkeypatch.setattr(webbrowser, "open", lambda _url: False)
    assert "no browser here" in invoke("open").stdout


# --- logs and exec


class PrintedLines:
    """What CloudWatch Logs answers of the events of one group, of which it returns two at a time."""

    def __init__(self) -> None:
        self.events: list[Answer] = []

    def add(self, moment: int, task: str, message: str) -> None:
        """Let a task print a line."""
        event = {"timestamp": moment, "message": message, "eventId": f"{len(self.events)}"}
        self.events.append({**event, "logStreamName": f"web/web/{task}"})

    def filter_log_events(self, logGroupName: str, startTime: int) -> Answer:  # noqa: N803  # AWS's names
        """Return the first two events from a time on."""
        assert logGroupName == "group"
        later = [event for event in self.events if event["timestamp"] >= startTime]
        return {"events": sorted(later, key=lambda event: event["timestamp"])[:2]}


TASK, OTHER = "6f327ebb-791c-4392-8859-71a3feca6ee3", "bee4045f-9f4d-4c73-b9e5-6fc1265349a8"


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> PrintedLines:
    """Give the environment two services, of which one has printed something."""
    lines = PrintedLines()
    found = {"service": Service("service", "eu-west-1", None, ["group"]), "api": Service("api", "eu-west-1")}
    monkeypatch.setattr(clients, "client", lambda service, _region: answering(service, lines))
    monkeypatch.setattr(services, "of_environment", lambda _name: found)
    return lines


def test_logs_are_those_of_all_tasks_the_newest_last(printed: PrintedLines, invoke: Invoke) -> None:
    for moment, task, message in ((3000, TASK, "c"), (1000, TASK, "a"), (2000, OTHER, "b"), (4000, TASK, "d\x1b[2J")):
        printed.add(moment, task, message)
    # What a stranger has sent does nothing to a terminal.
    assert invoke("logs", "service").stdout.splitlines() == [
        "00:00:01.000 6f327ebb a",
        "00:00:02.000 bee4045f b",
        "00:00:03.000 6f327ebb c",
        r"00:00:04.000 6f327ebb d\x1b[2J",
    ]
    # Of several services each line says whose it is.
    assert invoke("logs").stdout.splitlines()[0] == "00:00:01.000 service/6f327ebb a"
    first, *_others = invoke("logs", "--json").stdout.splitlines()
    assert json.loads(first) == {
        **{"time": "1970-01-01T00:00:01.000+00:00", "service": "service", "task": TASK, "message": "a"},
    }


def test_each_line_is_read_once_even_one_that_comes_late(printed: PrintedLines) -> None:
    reader = logs.Reader(Service("service", "eu-west-1"), "group")
    printed.add(20_000, TASK, "a")
    assert [line.message for _moment, line in reader.fresh()] == ["a"]
    printed.add(19_000, OTHER, "late")
    printed.add(21_000, TASK, "b")
    assert [line.message for _moment, line in reader.fresh()] == ["late", "b"]
    assert reader.fresh() == []


def test_following_ends_with_ctrl_c_and_without_complaint(
    printed: PrintedLines, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    def come_or_end(_seconds: float) -> None:
        if len(printed.events) == 2:
            raise KeyboardInterrupt
        printed.add(2000, OTHER, "b")

    printed.add(1000, TASK, "a")
    monkeypatch.setattr(time, "sleep", come_or_end)
    result = invoke("logs", "--follow", "service")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line[-1] for line in result.stdout.splitlines()] == ["a", "b"]


@pytest.mark.usefixtures("printed")
@pytest.mark.parametrize("arguments", [("logs", "web"), ("exec", "web", "--", "ls")])
def test_an_unknown_service_names_those_that_there_are(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stderr) == (1, "There is no service 'web'. Services: api, service.\n")


@pytest.mark.usefixtures("printed")
def test_exec_needs_a_name_where_there_are_several_services(invoke: Invoke) -> None:
    result = invoke("exec", "--", "ls")
    assert (result.exit_code, result.stderr) == (1, "There are several services: name one of api, service.\n")


def test_exec_runs_the_command_as_it_is_in_a_container_that_runs(
    monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    started: list[list[str]] = []
    arn = "arn:aws:ecs:eu-west-1:000000000000:service/cluster/web"
    tasks = [{"taskArn": f"task/{id_}", "lastStatus": "RUNNING"} for id_ in (TASK, OTHER)]
    pending = {"taskArn": "task/0", "lastStatus": "PENDING"}
    monkeypatch.setattr(services, "of_environment", lambda _name: {"service": Service("service", "eu-west-1", arn)})
    monkeypatch.setattr(execute, "read_tasks_of_service", lambda *_place: [pending, *tasks])
    monkeypatch.setattr(execute, "output", lambda command: f"container-of-{command[-1].rpartition('/')[2]}\n")
    monkeypatch.setattr(os, "execvp", lambda _file, command: started.append(command))
    assert invoke("exec", "--", "ls", "--help", "--", "x").exit_code == 0
    assert invoke("exec", "service", "--task", OTHER[:4], "--", "ls").exit_code == 0
    assert started == [
        # The terminal of these tests is none.
        ["docker", "exec", "--interactive", f"container-of-{TASK}", "ls", "--help", "--", "x"],
        ["docker", "exec", "--interactive", f"container-of-{OTHER}", "ls"],
    ]
    unknown = invoke("exec", "--task", "0", "--", "ls")
    assert f"No task '0' of service runs. Those that do: {TASK}, {OTHER}." in unknown.stderr
    monkeypatch.setattr(execute, "read_tasks_of_service", lambda *_place: [])
    assert "No task of service runs" in invoke("exec", "--", "ls").stderr


COMPLETE = {"ResourceStatus": "CREATE_COMPLETE", "Timestamp": 0}


def test_services_are_those_of_the_stacks_by_the_names_of_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    arn = "arn:aws:ecs:eu-west-1:000000000000:service/cluster/web"
    resources = {
        "spotfleet-dev-vpc": [("AWS::Logs::LogGroup", "flow-logs")],
        "spotfleet-dev-service": [("AWS::Logs::LogGroup", "group"), ("AWS::ECS::Service", arn)],
    }
    stubber = Stubber(boto3.client("cloudformation", region_name="eu-west-1"))
    for name in [*sorted(resources), "spotfleet-dev-vpc"]:
        items = [
            {"LogicalResourceId": "R", "ResourceType": kind, "PhysicalResourceId": id_, **COMPLETE}
            for kind, id_ in resources[name]
        ]
        stubber.add_response("describe_stack_resources", {"StackResources": items}, {"StackName": name})
    stubber.activate()

    identity = {"stacks": [{"name": name, "region": "eu-west-1"} for name in resources]}
    monkeypatch.setattr(embedded_aws, "find", lambda: identity)
    monkeypatch.setattr(clients, "client", lambda *_names: stubber.client)
    assert services.of_environment("dev") == {"service": Service("service", "eu-west-1", arn, ["group"])}
    identity["stacks"].pop()
    with pytest.raises(Failure, match="dev has no service: launch it with: spotfleet up dev"):
        services.of_environment("dev")


# --- Losses and load

MACHINE = Machine("i-1", "group", "t3.micro", "eu-west-1a", spot=True, running=True, leaving=False, launched=0)


GROUP = {
    "AutoScalingGroupName": "group",
    "AvailabilityZones": ["eu-west-1a", "eu-west-1b"],
    "Instances": [],
    "MixedInstancesPolicy": {"LaunchTemplate": {"Overrides": [{"InstanceType": "t3.micro"}]}},
    "Tags": [{"Key": "spotfleet:closed:on-demand:t3.micro/eu-west-1b", "Value": "4102444800.0"}],
}


def test_losses_answer_programs(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    tagged: list[list[str]] = []
    terminated: list[list[str]] = []

    class Ec2:
        """What EC2 and Auto Scaling answer to a loss: nothing that is read."""

        def create_tags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:  # noqa: N803
            assert Resources == ["i-1"]
            tagged.append([tag["Key"] for tag in Tags])

        def terminate_instances(self, InstanceIds: list[str]) -> None:  # noqa: N803
            terminated.append(InstanceIds)

        def create_or_update_tags(self, Tags: list[dict[str, str]]) -> None:  # noqa: N803
            tagged.append([tag["Key"] for tag in Tags])

    monkeypatch.setattr(embedded_aws, "find", lambda: {"speed": 10, "seed": 1})
    monkeypatch.setattr(fleet, "read", lambda _name: Fleet("eu-west-1", [GROUP], [MACHINE]))
    monkeypatch.setattr(clients, "client", lambda service, _region: answering(service, Ec2()))
    machines = [{"id": "i-1", "type": "t3.micro", "zone": "eu-west-1a", "tasks": 0}]
    told = json.loads(invoke("interrupt", "--json").stdout)
    assert (told["machines"], told["speed"]) == (machines, 10)
    assert json.loads(invoke("kill", "--json").stdout) == {"machines": machines}
    assert terminated == [["i-1"]]
    assert json.loads(invoke("rates", "--json").stdout)["types"][0]["type"] == "t3.micro"
    assert "EC2 takes it in 12 s" in invoke("interrupt", "--share", "0.5").stdout

    # Ten minutes and two of AWS's time, ten times faster.
    early = invoke("interrupt", "--pool", "t3.micro/eu-west-1a", "--lead", "600").stdout
    assert "The notice comes in 60 s, and EC2 takes it in 72 s" in early
    assert tagged[-1] == [NOTICE_TAG, RECOMMENDATION_TAG]
    invoke("interrupt", "--no-recommendation")
    assert tagged[-1] == [NOTICE_TAG]

    pools = json.loads(invoke("capacity", "--json").stdout)["pools"]
    assert [row["pool"] for row in pools] == [f"t3.micro/{zone}" for zone in ("eu-west-1a", "eu-west-1b")]
    assert pools[0]["machines"] == {"on-demand": [], "spot": ["i-1"]}
    assert pools[1]["closed_until"] == {"on-demand": "2100-01-01T00:00:00+00:00", "spot": None}
    assert "1 spot" in invoke("capacity").stdout
    invoke("capacity", "--close", "*/eu-west-1a", "--for", "60")
    assert tagged[-1] == ["spotfleet:closed:spot:t3.micro/eu-west-1a"]
    refused = invoke("capacity", "--open", "t3.small/eu-west-1a")
    assert "There is no pool 't3.small/eu-west-1a'. Pools: t3.micro/eu-west-1a, t3.micro/eu-west-1b." in refused.stderr


class Images:
    """What Systems Manager and EC2 answer of machine images; a newer one follows what is put."""

    def __init__(self) -> None:
        self.newest = "ami-00000001"
        self.put: dict[str, str] = {}

    def put_parameter(self, Name: str, Value: str, **_more: object) -> None:  # noqa: N803
        """Take what AWS publishes."""
        self.put[Name] = self.newest = Value

    def get_parameter(self, Name: str) -> dict[str, dict[str, str]]:  # noqa: N803
        """Tell the newest image."""
        assert Name == "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
        return {"Parameter": {"Name": Name, "Value": self.newest}}

    def describe_images(self, ImageIds: list[str]) -> dict[str, list[dict[str, str]]]:  # noqa: N803
        """Tell an image's name."""
        return {"Images": [{"ImageId": name, "Name": f"named-{name}"} for name in ImageIds]}

    def describe_instances(self, InstanceIds: list[str]) -> dict[str, object]:  # noqa: N803
        """Tell what machines have started from."""
        instances = [{"InstanceId": name, "ImageId": "ami-00000001"} for name in InstanceIds]
        return {"Reservations": [{"Instances": instances}]}


def test_a_newer_machine_image_is_published_and_told(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    images, accounts = Images(), set[str]()

    def client(service: str, _region: str, account: str = "local") -> object:
        accounts.add(f"{service} {account}")
        return answering(service, images)

    monkeypatch.setattr(fleet, "read", lambda _name: Fleet("eu-west-1", [GROUP], [MACHINE]))
    monkeypatch.setattr(clients, "client", client)
    told = json.loads(invoke("machine-image", "--json").stdout)
    assert told["newest"] == [{"architecture": "x86_64", "id": "ami-00000001", "name": "named-ami-00000001"}]
    assert told["machines"] == [{"id": "i-1", "image": "ami-00000001"}]
    assert "(an older one)" not in invoke("machine-image").stdout
    assert not images.put
    lines = invoke("machine-image", "--publish").stdout
    assert "ssm 591542846629" in accounts
    assert len(images.put) == len(set(images.put.values())) == 3
    assert f"The newest image for x86_64 is {images.newest}" in lines
    assert "ami-00000001  (an older one)" in lines
    assert "NEWEST_MACHINE_IMAGE=dev spotfleet up dev" in lines


REPORT = """
Summary:
  Requests/sec:	49.3071

Latency distribution:
  10% in 0.0101 secs
  50%% in 0.0216 secs
  99% in 0.0765 secs

Status code distribution:
  [200]	98 responses
  [503]	2 responses

Error distribution:
  [3]	Get "http://127.0.0.1:8080/": dial tcp 127.0.0.1:8080: connect: connection refused
"""


def test_the_report_of_a_load_is_read(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    assert load.summary(REPORT) == {
        "requests_per_second": 49.3071,
        "answers": {"200": 98, "503": 2},
        "errors": {'Get "http://127.0.0.1:8080/": dial tcp 127.0.0.1:8080: connect: connection refused': 3},
        "p50": 0.0216,
        "p99": 0.0765,
    }
    assert load.summary("")["p99"] is None
    monkeypatch.setattr(status, "of_environment", lambda name: Status(name, url="http://127.0.0.1:8080/"))
    monkeypatch.setattr(load, "ensure_installed", lambda: None)
    monkeypatch.setattr(load, "command", lambda *_load: [sys.executable, "-c", f"print({REPORT!r})"])
    assert json.loads(invoke("load", "--json").stdout)["answers"] == {"200": 98, "503": 2}


# --- Many tasks


class ManyTasks:
    """What ECS answers of a service of so many tasks; AWS's limits hold."""

    def __init__(self, count: int) -> None:
        self.arns = [f"arn:aws:ecs:eu-west-1:0:task/c/{number:04}" for number in range(count)]

    def list_tasks(self, nextToken: str = "0", **_of: str) -> Answer:  # noqa: N803  # AWS's name
        last = int(nextToken) + 100
        more = {"nextToken": str(last)} if last < len(self.arns) else {}
        return {"taskArns": self.arns[int(nextToken) : last], **more}

    def list_container_instances(self, **_of: str) -> Answer:
        return {"containerInstanceArns": []}

    def describe_services(self, **_asked: Any) -> Answer:  # noqa: ANN401
        service = {"serviceName": "web", "status": "ACTIVE", "desiredCount": len(self.arns), "loadBalancers": []}
        return {"services": [service | {"taskDefinition": "web:1"}]}

    def describe_task_definition(self, **_asked: str) -> Answer:
        return {"taskDefinition": {"containerDefinitions": [{"image": "web:1"}]}}

    def describe_tasks(self, tasks: list[str], **_of: str) -> Answer:
        assert 0 < len(tasks) <= 100
        containers = [{"image": "web:1"}]
        return {"tasks": [{"taskArn": arn, "lastStatus": "RUNNING", "containers": containers} for arn in tasks]}


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_a_service_of_any_size_is_seen_as_a_whole(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(clients, "client", lambda service, _region: answering(service, ManyTasks(count)))
    current = Status("dev", stacks={f"spotfleet-dev-{layer}": "CREATE_COMPLETE" for layer in paths.layers("dev")})
    environment_status._add_service(
        current, environment_status._Look(), "eu-west-1", "arn:aws:ecs:eu-west-1:0:service/c/web"
    )
    assert len({task.id for task in current.tasks}) == current.desired_tasks == count
    assert current.complete


# --- why and refuse


def explanation(cause: Cause | None, **more: Any) -> Explanation:  # noqa: ANN401  # of several types
    return Explanation("dev", more.pop("failed", cause is not None), cause, **more)


KILLED = Cause(
    "out_of_memory", "a container was killed", "raise task_memory_mib", said="OutOfMemoryError", log=["a\x1b[2J"]
)


def test_why_says_the_cause_the_way_out_and_how_it_came_about(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    found = explanation(KILLED, way=["01:00:00 OutOfMemoryError", "dev/service is ROLLBACK_COMPLETE"], unread=["a:B"])
    monkeypatch.setattr(embedded_aws, "find", dict)
    monkeypatch.setattr(why, "_explain", lambda _environment: found)
    result = invoke("why", "dev")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        *("dev: a container was killed.", "To go on, raise task_memory_mib.", "", "How it came about"),
        *("  01:00:00 OutOfMemoryError", "  dev/service is ROLLBACK_COMPLETE", "", "The end of its log"),
        # What a container prints does nothing to the terminal.
        *("  a\\x1b[2J", "", "Not read, as AWS refuses it: a:B."),
    ]
    told = json.loads(invoke("why", "dev", "--json").stdout)
    assert (told["kind"], told["failed"], told["unread"]) == ("out_of_memory", True, ["a:B"])


def test_why_of_what_is_well_and_of_what_is_wrong_now(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    monkeypatch.setattr(embedded_aws, "find", dict)
    monkeypatch.setattr(why, "_explain", lambda _environment: explanation(None, healthy="all is well"))
    well = invoke("why", "dev")
    assert (well.exit_code, well.stdout) == (0, "dev: nothing failed; all is well.\n")
    monkeypatch.setattr(why, "_explain", lambda _environment: explanation(KILLED, failed=False))
    wrong = invoke("why", "dev")
    assert wrong.exit_code == 1
    assert wrong.stdout.startswith("dev: nothing failed; but a container was killed.\n")


def test_why_with_expired_credentials_is_one_line(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    def expired(_stacks: object) -> None:
        words = "The security token included in the request is expired"
        raise ClientError({"Error": {"Code": "ExpiredToken", "Message": words}}, "DescribeStacks")

    monkeypatch.setattr(why, "_stacks", lambda _environment: [])
    monkeypatch.setattr(gather, "gather", expired)
    result = invoke("why", "dev", "--aws")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("AWS does not take the credentials: they have expired")
    assert "aws sso login" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_why_does_not_leave_a_shell_that_is_kept_to_the_embedded_aws(
    monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    monkeypatch.setenv("LOCAL_AWS_ENDPOINT", "http://127.0.0.1:4566")
    result = invoke("why", "dev", "--aws")
    assert result.exit_code == 1
    assert "for AWS take a new shell" in result.stderr


def test_refusals_are_listed_asked_for_and_ended(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    listed = invoke("refuse").stdout
    assert "vpcs           AWS::EC2::VPC\n" in listed
    assert "in_use         AWS::EC2::SecurityGroup, when it is deleted\n" in listed
    assert "There is no refusal 'moon'" in invoke("refuse", "moon").stderr
    monkeypatch.setattr(embedded_aws, "find", dict)
    asked: list[dict[str, Any]] = []

    class Parameters:
        def put_parameter(self, **given: Any) -> Answer:  # noqa: ANN401  # of several types
            asked.append(given)
            return {}

        def delete_parameter(self, **given: Any) -> Answer:  # noqa: ANN401  # as above
            asked.append(given)
            return {}

    ssm = answering("ssm", Parameters())
    monkeypatch.setattr(clients, "client", lambda *_of: ssm)
    assert invoke("refuse", "permission", "--type", "AWS::ECS::Cluster").exit_code == 0
    assert asked == [
        {"Name": "/spotfleet/refuse/AWS.ECS.Cluster", "Value": "permission", "Type": "String", "Overwrite": True}
    ]
    assert "not refused any more" in invoke("refuse", "vpcs", "--end").stdout
    assert asked[1] == {"Name": "/spotfleet/refuse/AWS.EC2.VPC"}

"""What a user does, on the real thing: environments launched, changed, broken and deleted, with real containers."""

import json
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.support import signed
from tests.support.projects import (
    LAYERS,
    ROOT,
    Project,
    get,
    launched,
    stacks_in_good_state,
    wait_until_two_tasks_serve,
)

# Which answers everybody, https://1.1.1.1/.
INTERNET = ("1.1.1.1", "443")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose environment dev is up."""
    with launched(Project(tmp_path_factory.mktemp("project"))) as project:
        yield project


def test_the_service_answers_through_its_load_balancer(project: Project) -> None:
    status = project.status()
    assert stacks_in_good_state(project) == LAYERS
    code, headers, body = get(status["url"])
    assert (code, body) == (200, "<h1>HELLO WORLD</h1>")
    assert headers["content-type"].startswith("text/html")
    code, headers, body = get(status["url"] + "healthcheck")
    assert (code, body) == (200, '"Healthy"')
    assert headers["cache-control"] == "no-cache, no-store, must-revalidate"
    assert (headers["pragma"], headers["expires"]) == ("no-cache", "0")


def test_the_containers_are_real_and_run_as_the_task_definition_says(project: Project) -> None:
    tasks = project.status()["tasks"]
    assert len(tasks) == 2
    assert {task["health"] for task in tasks} == {"healthy"}
    ids = project.containers()
    assert len(ids) == 2
    form = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Init}} {{.Config.User}} {{.HostConfig.Memory}} "
    form += '{{(index (index .NetworkSettings.Ports "5000/tcp") 0).HostIp}}'
    for container in ids:
        settings = project.run("docker", "inspect", "--format", form, container).stdout.split()
        assert settings == ["true", "true", "65532:65532", str(256 * 1024 * 1024), "127.0.0.1"]


# A worker is well for so many real seconds, in which its container shows it by a file.
WELL_SECONDS = 12
ALIVE = 'pathlib.Path("/dev/shm/alive")'
LIVENESS = f"import pathlib, sys; sys.exit(not {ALIVE}.exists())"
WORKER = f"""
import pathlib, time
alive = {ALIVE}
alive.touch()
time.sleep({WELL_SECONDS})
alive.unlink()
time.sleep(3600)
"""
WORKER_SECONDS = 180


def test_a_worker_that_fails_its_health_check_is_replaced(project: Project) -> None:
    """A service without load balancer beside the other one: its container's health check is its only sign of life."""
    ecs = project.client("ecs")
    cluster = ecs.list_clusters()["clusterArns"][0].rpartition("/")[2]
    service = ecs.describe_services(cluster=cluster, services=ecs.list_services(cluster=cluster)["serviceArns"])
    running = ecs.describe_task_definition(taskDefinition=service["services"][0]["taskDefinition"])["taskDefinition"]
    check = {"command": ["CMD", "python3", "-c", LIVENESS], "interval": 10, "timeout": 30, "retries": 2}
    container = {
        **{"name": "worker", "image": running["containerDefinitions"][0]["image"], "memory": 64, "healthCheck": check},
        **{"command": ["python3", "-c", WORKER], "stopTimeout": 10},
    }
    ecs.register_task_definition(family="worker", containerDefinitions=[container])
    worker = {"cluster": cluster, "service": "worker"}
    ecs.create_service(cluster=cluster, serviceName="worker", taskDefinition="worker", desiredCount=1, launchType="EC2")
    seen: dict[str, set[str]] = {}
    deadline = time.monotonic() + WORKER_SECONDS
    try:
        # The first task gets well, and ill; another one takes its place, and gets well.
        while [health for health in seen.values() if "HEALTHY" in health] != [{"HEALTHY", "UNHEALTHY"}, {"HEALTHY"}]:
            assert time.monotonic() < deadline, seen
            tasks = ecs.list_tasks(cluster=cluster, serviceName="worker")["taskArns"]
            for task in ecs.describe_tasks(cluster=cluster, tasks=tasks)["tasks"] if tasks else []:
                seen.setdefault(task["taskArn"], set()).update({task["healthStatus"]} - {"UNKNOWN"})
            time.sleep(0.2)
        (described,) = ecs.describe_services(cluster=cluster, services=["worker"])["services"]
        events = [event["message"] for event in described["events"]]
        first = next(iter(seen)).rpartition("/")[2]
        assert f"(service worker) (task {first}) failed container health checks." in events
    finally:
        ecs.delete_service(**worker, force=True)


def test_machines_are_one_on_demand_and_the_rest_spot(project: Project) -> None:
    kinds = sorted(machine["kind"] for machine in project.status()["machines"])
    assert kinds[:1] == ["on-demand"]
    assert set(kinds[1:]) <= {"spot"}


def test_a_second_launch_changes_nothing(project: Project) -> None:
    before = project.status()
    launched = project.local("up")
    assert launched.returncode == 0, launched.stdout
    assert "is in the repository already" in launched.stdout
    assert "Building image" not in launched.stdout
    assert project.status() == before
    assert "No difference to deployed stack spotfleet-dev-service" in project.sceptre("diff", "dev/service.yaml").stdout


def test_tasks_start_from_the_image_by_its_digest(project: Project) -> None:
    image = project.status()["image"]
    assert re.fullmatch(rf"127\.0\.0\.1:{project.port}/[\w-]+@sha256:[0-9a-f]{{64}}", image)
    shown = ["docker", "images", "--digests", "--filter", f"reference=127.0.0.1:{project.port}/*", "--format"]
    tags = project.run(*shown, "{{.Repository}}:{{.Tag}}").stdout.split()
    assert project.run("docker", "rmi", "--force", *tags).returncode == 0
    lost = project.containers()
    assert project.run("docker", "kill", lost[0]).returncode == 0
    wait_until_two_tasks_serve(project)
    # Pulled by nothing but its digest now; taking the project down removes it all the same.
    assert project.run(*shown, "{{.Tag}}@{{.Digest}}").stdout.split() == [f"<none>@{image.partition('@')[2]}"]


def inside(project: Project, *arguments: str) -> Any:  # noqa: ANN401  # any JSON
    """Return what a test finds out inside one of the tasks' containers."""
    return found_by("docker", "exec", "-i", project.containers()[0], "python3", "-", *arguments)


def found_by(*command: str) -> Any:  # noqa: ANN401  # any JSON
    """Return what `inside_a_task.py` prints where a command runs it."""
    source = (ROOT / "tests/support/inside_a_task.py").read_text()
    done = subprocess.run(command, input=source, text=True, capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture
def outside() -> Iterator[tuple[str, int]]:
    """A server at a public address, of which this machine has one for the test (RFC 5737)."""
    network = f"spotfleet-test-{uuid4().hex[:8]}"
    subnet = ["--subnet", "198.51.100.0/28", "--gateway", "198.51.100.1"]
    subprocess.run(["docker", "network", "create", *subnet, network], check=True, capture_output=True)
    try:
        with socket.create_server(("198.51.100.1", 0)) as server:
            yield server.getsockname()
    finally:
        subprocess.run(["docker", "network", "rm", network], check=True, capture_output=True)


def wait_until(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_a_container_reaches_what_the_machines_security_group_lets_out(
    project: Project, outside: tuple[str, int]
) -> None:
    def ends() -> str:
        return str(inside(project, "connect", outside[0], str(outside[1])))

    assert ends() == "timed out"
    ec2, cloudformation = project.client("ec2"), project.client("cloudformation")
    stack = {"StackName": "spotfleet-dev-vpc", "LogicalResourceId": "MachinesSecurityGroup"}
    group = cloudformation.describe_stack_resource(**stack)["StackResourceDetail"]["PhysicalResourceId"]
    ports = {"IpProtocol": "tcp", "FromPort": outside[1], "ToPort": outside[1]}
    opened = {"GroupId": group, "IpPermissions": [{**ports, "IpRanges": [{"CidrIp": "198.51.100.0/24"}]}]}
    ec2.authorize_security_group_egress(**opened)
    wait_until(lambda: ends() == "connected")
    ec2.revoke_security_group_egress(**opened)
    wait_until(lambda: ends() == "timed out")
    # Beyond this computer, where it leads anywhere.
    if found_by(sys.executable, "-", "connect", *INTERNET) == "connected":
        assert inside(project, "connect", *INTERNET) == "connected"


def test_a_worker_reads_its_queue_and_does_nothing_else(project: Project) -> None:
    cloudformation, sqs = project.client("cloudformation"), project.client("sqs")
    stack = {"StackName": "spotfleet-dev-service", "LogicalResourceId": "TaskRole"}
    role = cloudformation.describe_stack_resource(**stack)["StackResourceDetail"]["PhysicalResourceId"]
    read = {"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Resource": {"Fn::GetAtt": ["Jobs", "Arn"]}}
    policy = {"PolicyName": "jobs", "Roles": [role], "PolicyDocument": {"Version": "2012-10-17", "Statement": [read]}}
    resources = {
        **{"Jobs": {"Type": "AWS::SQS::Queue"}, "Others": {"Type": "AWS::SQS::Queue"}},
        "Policy": {"Type": "AWS::IAM::Policy", "Properties": policy},
    }
    outputs = {name: {"Value": {"Ref": name}} for name in ("Jobs", "Others")}
    body = json.dumps({"Resources": resources, "Outputs": outputs})
    cloudformation.create_stack(StackName="jobs", TemplateBody=body, Capabilities=["CAPABILITY_IAM"])
    cloudformation.get_waiter("stack_create_complete").wait(StackName="jobs", WaiterConfig={"Delay": 1})
    try:
        described = cloudformation.describe_stacks(StackName="jobs")["Stacks"][0]["Outputs"]
        queues = {item["OutputKey"]: json.dumps({"QueueUrl": item["OutputValue"]}) for item in described}
        sqs.send_message(QueueUrl=json.loads(queues["Jobs"])["QueueUrl"], MessageBody="a parcel")
        receive = ("sqs", "AmazonSQS.ReceiveMessage", queues["Jobs"])
        assert inside(project, "ask", *receive)["body"]["Messages"][0]["Body"] == "a parcel"
        refused = [
            ("ask", "sqs", "AmazonSQS.ReceiveMessage", queues["Others"]),
            ("ask", "sqs", "AmazonSQS.PurgeQueue", queues["Jobs"]),
            ("ask", "ecs", "AmazonEC2ContainerServiceV20141113.ListClusters", "{}"),
            ("ask-as", "another", *receive),
            ("ask-as", signed.key(project.folder, project.port), *receive),
        ]
        assert [inside(project, *request)["status"] for request in refused] == [403] * len(refused)
    finally:
        cloudformation.delete_stack(StackName="jobs")
        cloudformation.get_waiter("stack_delete_complete").wait(StackName="jobs", WaiterConfig={"Delay": 1})


def test_a_container_finds_what_is_link_local_on_aws(project: Project) -> None:
    assert inside(project, "metadata")["TaskARN"].startswith("arn:aws:ecs:eu-west-1:")
    # The token never comes; without one nothing is told.
    assert inside(project, "get", "http://169.254.169.254/latest/meta-data/") == 401
    assert inside(project, "put", "http://169.254.169.254/latest/api/token") == "timed out"
    router = subprocess.run(
        ["docker", "ps", "--format", "{{.Names}}", "--filter", f"name=spotfleet-{project.port}-"],
        text=True,
        capture_output=True,
        check=True,
    )
    # By the name server at 169.254.169.253 the engine's names are found, and no packet to another one gets out.
    assert inside(project, "resolve", router.stdout.strip()) is not None


def test_nobody_but_its_tasks_finds_the_way_to_the_embedded_aws(project: Project) -> None:
    unknown = ("get", "http://169.254.170.2/v2/credentials/unknown")
    assert inside(project, *unknown) == 400
    another = ["docker", "run", "--rm", "-i", "--entrypoint", "python3", project.status()["image"]]
    assert found_by(*another, "-", *unknown) != 400
    assert found_by(sys.executable, "-", *unknown) != 400
    assert stat.S_IMODE((project.folder / f".local/{project.port}").stat().st_mode) == 0o700


@pytest.mark.parametrize("command", ["diff dev", "validate dev", "generate dev/vpc.yaml", "list outputs dev"])
def test_plain_sceptre_commands_work(project: Project, command: str) -> None:
    done = project.sceptre(*command.split())
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout
    if command.startswith("diff"):
        assert done.stdout.count("No difference to deployed stack") == len(LAYERS), done.stdout


SCEPTRE_SETTINGS = """
profile: my-company-sso
sceptre_role: arn:aws:iam::123456789012:role/deployer
template_bucket_name: my-templates
notifications: [arn:aws:sns:eu-west-1:123456789012:events]
cloudformation_service_role: arn:aws:iam::123456789012:role/cloudformation
"""


def test_settings_of_sceptre_that_name_things_of_an_account_work_here_as_well(project: Project) -> None:
    file = project.folder / "config/config.yaml"
    before = file.read_text()
    file.write_text(before + SCEPTRE_SETTINGS)
    launched = project.sceptre("launch", "-y", "dev")
    assert launched.returncode == 0, launched.stdout
    different = project.sceptre("diff", "dev")
    assert different.stdout.count("No difference to deployed stack") == len(LAYERS), different.stdout
    file.write_text(before)
    assert stacks_in_good_state(project) == LAYERS


def test_after_an_image_that_is_not_there_the_next_launch_mends_all(project: Project) -> None:
    file = project.folder / "config/wiring/service.yaml.j2"
    before = file.read_text()
    image = before[before.index("  Image: !image_uri") : before.index("  CpuArchitecture:")]
    file.write_text(before.replace(image, f"  Image: 127.0.0.1:{project.port}/mistyped:1\n"))
    failed = project.local("up")
    assert failed.returncode == 1
    assert f"failed to resolve ref 127.0.0.1:{project.port}/mistyped:1: not found" in failed.stdout
    assert f"the image of service, 127.0.0.1:{project.port}/mistyped:1, is not in its repository" in failed.stdout
    why = project.local("why")
    assert why.returncode == 1
    assert why.stdout.startswith(
        f"dev: the image of service, 127.0.0.1:{project.port}/mistyped:1, is not in its reposi"
    )
    file.write_text(before)
    launched = project.local("up")
    assert launched.returncode == 0, launched.stdout
    (cluster,) = project.client("ecs").list_clusters()["clusterArns"]
    (service,) = project.client("ecs").list_services(cluster=cluster)["serviceArns"]
    described = project.client("ecs").describe_services(cluster=cluster, services=[service])["services"][0]
    assert [item["rolloutState"] for item in described["deployments"]] == ["COMPLETED"]


def test_the_text_status_fits_one_screen_and_names_everything(project: Project) -> None:
    status = project.status()
    text = project.local("status").stdout
    for word in [*status["stacks"], status["image"], status["url"], *(machine["id"] for machine in status["machines"])]:
        assert word in text
    assert len(text.splitlines()) <= 40


def test_an_edit_of_the_service_is_served_and_a_broken_build_leaves_it_alone(project: Project) -> None:
    before = project.status()
    project.replace("service/handlers.py", "HELLO WORLD", "HELLO AGAIN")
    launched = project.local("up")
    assert launched.returncode == 0, launched.stdout
    after = project.status()
    assert after["image"] != before["image"]
    assert get(after["url"])[2] == "<h1>HELLO AGAIN</h1>"

    # Writing to /dev/full fails as on a disk without room.
    preparing = "RUN python3 /build/prepare_service.py"
    project.replace("Dockerfile", preparing, f"RUN head -c 1 /dev/zero > /dev/full\n{preparing}")
    broken = project.local("up")
    assert broken.returncode == 1
    assert re.search(r"Building 127\.0\.0\.1:\S+ failed; the stack was not touched", broken.stdout)
    assert "No space left on device" in broken.stdout
    assert "Traceback" not in broken.stdout
    # Never the same twice: a builder that has done it before would not sleep.
    sleep = f"RUN sleep 5 && : {uuid4()}\n"
    project.replace("Dockerfile", "RUN head -c 1 /dev/zero > /dev/full\n", sleep)
    cut_short = launch_and_edit_during_the_build(project, "service/handlers.py", "HELLO AGAIN", "HELLO NEVER")
    assert "changed while the image was built from them; nothing was pushed" in cut_short
    assert "Traceback" not in cut_short
    assert "Pushing" not in cut_short
    project.replace("Dockerfile", sleep, "")
    project.replace("service/handlers.py", "HELLO NEVER", "HELLO AGAIN")
    assert project.status() == after
    assert get(after["url"])[2] == "<h1>HELLO AGAIN</h1>"


def launch_and_edit_during_the_build(project: Project, file: str, old: str, new: str) -> str:
    """Launch, edit a file when the builder has got it and sleeps, and return what the launch that then failed said."""
    command = [sys.executable, "-m", "spotfleet", "up"]
    with subprocess.Popen(
        command, cwd=project.folder, env=project.variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as launch:
        assert launch.stdout
        said = ""
        for line in launch.stdout:
            said += line
            if "RUN sleep" in line:
                project.replace(file, old, new)
                break
        said += launch.communicate(timeout=240)[0]
    assert launch.returncode == 1, said
    return said


def test_no_docker_engine_stops_a_plain_launch_before_the_service(project: Project) -> None:
    before = project.status()
    project.replace("service/requirements.txt", "# This file", "# Changed. This file")
    launched = project.sceptre("launch", "-y", "dev", DOCKER_HOST="unix:///nonexistent/docker.sock")
    project.replace("service/requirements.txt", "# Changed. This file", "# This file")
    assert launched.returncode != 0
    assert "No Docker engine answers: start Docker, then launch again." in launched.stdout
    assert "Traceback" not in launched.stdout
    assert project.status() == before

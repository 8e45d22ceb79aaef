"""ECS's events on EventBridge, as a rule gives them to a queue and to a topic (rule E18). Without Docker."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.clouds import Cloud, get, ref, running

ACCOUNT = "000000000000"
SECONDS = 20


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Run the embedded AWS without a Docker engine, where a task runs as soon as it is wanted."""
    with running(tmp_path_factory.mktemp("events") / "log", LOCAL_SPEED="60") as started:
        yield started


@pytest.fixture(scope="module")
def told(cloud: Cloud) -> list[dict[str, Any]]:
    """What a queue gets of a service that is created, gets steady, and is deleted, and of its machine."""
    sqs, events, ecs = cloud.client("sqs"), cloud.client("events"), cloud.client("ecs")
    queue = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="all", EventPattern=json.dumps({"source": ["aws.ecs"]}))
    events.put_targets(Rule="all", Targets=[{"Id": "queue", "Arn": arn}])
    ecs.create_cluster(clusterName="told")
    document = json.dumps({"instanceId": "i-1"})
    resources = [{"name": name, "type": "INTEGER", "integerValue": 1024} for name in ("CPU", "MEMORY")]
    machine = ecs.register_container_instance(
        cluster="told", instanceIdentityDocument=document, totalResources=resources
    )["containerInstance"]["containerInstanceArn"]
    _send_deployments_by_topic(cloud)
    containers = [{"name": "web", "image": "web:1", "memory": 256}]
    ecs.register_task_definition(family="web", containerDefinitions=containers)
    ecs.create_service(cluster="told", serviceName="web", taskDefinition="web", desiredCount=1)
    found = _until(sqs, queue, "SERVICE_STEADY_STATE")
    ecs.delete_service(cluster="told", service="web", force=True)
    found += _until(sqs, queue, '"lastStatus": "STOPPED"')
    ecs.deregister_container_instance(cluster="told", containerInstance=machine, force=True)
    return found + _until(sqs, queue, '"status": "INACTIVE"')


def _send_deployments_by_topic(cloud: Cloud) -> None:
    """Give a queue what a topic gets of deployments, by a template as a user would."""
    pattern = {"source": ["aws.ecs"], "detail-type": ["ECS Deployment State Change"]}
    subscription = {"TopicArn": ref("Topic"), "Protocol": "sqs", "Endpoint": get("Queue", "Arn")}
    resources = {
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "by-topic"}},
        "Subscription": {"Type": "AWS::SNS::Subscription", "Properties": subscription},
        "Rule": {
            "Type": "AWS::Events::Rule",
            "Properties": {"EventPattern": pattern, "Targets": [{"Id": "topic", "Arn": ref("Topic")}]},
        },
    }
    cloud.create("by-topic", resources)


def _until(sqs: Any, queue: str, words: str) -> list[dict[str, Any]]:  # noqa: ANN401  # boto3's
    found, deadline = [], time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            found.append(json.loads(message["Body"]))
        if any(words in json.dumps(event["detail"]) for event in found):
            return found
    raise AssertionError(f"no event with {words} among {[event['detail-type'] for event in found]}")


def _of(told: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in told if event["detail-type"] == kind]


def test_every_event_is_one_of_ecs(told: list[dict[str, Any]]) -> None:
    for event in told:
        assert (event["source"], event["account"], event["region"]) == ("aws.ecs", ACCOUNT, "eu-west-1")
        assert event["version"] == "0"
        assert len(event["resources"]) == 1


def test_a_task_tells_of_its_life_with_growing_versions(told: list[dict[str, Any]]) -> None:
    tasks = [event["detail"] for event in _of(told, "ECS Task State Change")]
    states = list(dict.fromkeys(task["lastStatus"] for task in tasks))
    assert states == ["RUNNING", "DEACTIVATING", "STOPPING", "STOPPED"]
    versions = [task["version"] for task in tasks]
    assert versions == sorted(set(versions))
    last = tasks[-1]
    assert (last["desiredStatus"], last["group"], last["containers"][0]["name"]) == ("STOPPED", "service:web", "web")
    assert last["clusterArn"] == f"arn:aws:ecs:eu-west-1:{ACCOUNT}:cluster/told"
    assert not [name for name in json.dumps(tasks).split('"') if name.startswith("_")]


def test_a_service_tells_that_it_is_steady(told: list[dict[str, Any]]) -> None:
    (steady,) = _of(told, "ECS Service Action")
    assert steady["resources"] == [f"arn:aws:ecs:eu-west-1:{ACCOUNT}:service/told/web"]
    created = steady["detail"].pop("createdAt")
    assert created.endswith("Z")
    cluster = f"arn:aws:ecs:eu-west-1:{ACCOUNT}:cluster/told"
    assert steady["detail"] == {"eventType": "INFO", "eventName": "SERVICE_STEADY_STATE", "clusterArn": cluster}


def test_a_deployment_tells_of_its_begin_and_its_end(told: list[dict[str, Any]]) -> None:
    details = [event["detail"] for event in _of(told, "ECS Deployment State Change")]
    assert [(item["eventType"], item["eventName"]) for item in details] == [
        ("INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS"),
        ("INFO", "SERVICE_DEPLOYMENT_COMPLETED"),
    ]
    deployment = details[0]["deploymentId"]
    assert details[1]["reason"] == f"ECS deployment {deployment} completed."


def test_a_machine_tells_that_it_joins_and_leaves(told: list[dict[str, Any]]) -> None:
    machines = [event["detail"] for event in _of(told, "ECS Container Instance State Change")]
    assert [(item["status"], item["agentConnected"]) for item in machines][:: len(machines) - 1] == [
        ("ACTIVE", True),
        ("INACTIVE", False),
    ]
    assert machines[0]["ec2InstanceId"] == "i-1"
    assert machines[0]["remainingResources"][1]["integerValue"] == 1024


@pytest.mark.usefixtures("told")
def test_a_topic_gets_events_as_well(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")
    queue = sqs.get_queue_url(QueueName="by-topic")["QueueUrl"]
    message = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"][0]
    event = json.loads(json.loads(message["Body"])["Message"])
    assert event["detail"]["eventName"].startswith("SERVICE_DEPLOYMENT_")

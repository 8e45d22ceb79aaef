"""spotfleet machine-image: what machines start from, and a newer one that AWS publishes."""

import json
import secrets
from typing import Any

import click

from spotfleet.cli import fleet
from spotfleet.cli.fleet import Fleet
from spotfleet.cli.verb import Verb, environment_argument, json_option
from spotfleet.facts import instance_types
from spotfleet.facts.machine_images import ECS_IMAGES, IMAGE_ID, OWNER, PLAIN_IMAGE
from spotfleet.local.api import clients
from spotfleet.local.host.console import say


@click.command("machine-image", cls=Verb)
@environment_argument
@click.option("--publish", is_flag=True, help="Let AWS publish newer images first.")
@json_option()
def machine_image(environment: str, publish: bool, as_json: bool) -> None:
    """Show the image that machines start from, and publish a newer one.

    AWS publishes one about each week. The next launch takes it with machine_image: newest, or when it is asked for with
    NEWEST_MACHINE_IMAGE, and replaces the machines; a stack whose parameter names AWS's own takes it with any update.
    """
    found = fleet.read(environment)
    if publish:
        _publish(found.region)
    told = {"newest": _newest(found), "machines": _machines(found)}
    if as_json:
        say(json.dumps(told, indent=2))
        return
    newest = {image["id"] for image in told["newest"]}
    for image in told["newest"]:
        say(f"The newest image for {image['architecture']} is {image['id']}, {image['name']}.")
    for machine in told["machines"]:
        say(f"  {machine['id']:<20} {machine['image']}{'' if machine['image'] in newest else '  (an older one)'}")
    say(f"Launch {environment} with it: NEWEST_MACHINE_IMAGE={environment} spotfleet up {environment}")


def _publish(region: str) -> None:
    """Publish images as AWS does: under the number of its account, to which alone the parameters belong."""
    ssm = clients.client("ssm", region, OWNER)
    for name in (PLAIN_IMAGE, *(path + IMAGE_ID for path in ECS_IMAGES.values())):
        ssm.put_parameter(Name=name, Value=f"ami-0{secrets.token_hex(8)}", Type="String", Overwrite=True)


def _newest(found: Fleet) -> list[dict[str, str]]:
    """Return the newest image of each architecture that the machines have, with its name."""
    ssm, ec2 = (clients.client(service, found.region) for service in ("ssm", "ec2"))
    images = []
    for architecture in sorted({instance_types.architecture(machine.type) for machine in found.machines}):
        image = ssm.get_parameter(Name=ECS_IMAGES[architecture] + IMAGE_ID)["Parameter"]["Value"]
        (described,) = ec2.describe_images(ImageIds=[image])["Images"]
        images.append({"architecture": architecture, "id": image, "name": described["Name"]})
    return images


def _machines(found: Fleet) -> list[dict[str, Any]]:
    ids = [machine.id for machine in found.machines if machine.running]
    if not ids:
        return []
    reservations = clients.client("ec2", found.region).describe_instances(InstanceIds=ids)["Reservations"]
    return [
        {"id": instance["InstanceId"], "image": instance["ImageId"]}
        for reservation in reservations
        for instance in reservation["Instances"]
    ]

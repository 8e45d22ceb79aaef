"""spotfleet refuse: what AWS refuses for reasons that no laptop has, rehearsed."""

import click
from botocore.exceptions import ClientError

from spotfleet.behaviour import refusals
from spotfleet.behaviour.refusals import REFUSALS
from spotfleet.cli import fleet
from spotfleet.cli.verb import Verb, environment_option
from spotfleet.local.api import clients
from spotfleet.local.host import paths
from spotfleet.local.host.console import Failure, say


@click.command(cls=Verb)
@click.argument("kind", required=False, metavar="KIND")
@environment_option
@click.option("--type", "resource_type", metavar="TYPE", help="Of this type of resource, such as AWS::EC2::VPC.")
@click.option("--end", is_flag=True, help="Refuse it no more.")
def refuse(kind: str | None, environment: str, resource_type: str | None, end: bool) -> None:
    """Let the embedded AWS refuse something, such as what is beyond a quota.

    It does so in AWS's words. Without KIND it lists the kinds. A refusal holds in the environment's region, for every
    launch and deletion, until --end or the embedded AWS's own end.

    \b
    spotfleet refuse vpcs                        # CreateVpc beyond the quota
    spotfleet refuse permission --type AWS::ECS::Cluster
    spotfleet refuse permission --type AWS::ECS::Cluster --end
    """
    if kind is None:
        for name, refusal in REFUSALS.items():
            say(f"{name:<14} {refusal.type}{', when it is deleted' if refusal.of_deletion else ''}")
        return
    if kind not in REFUSALS:
        raise Failure(f"There is no refusal {kind!r}. Kinds: {', '.join(REFUSALS)}.")
    fleet.identity()
    chosen = resource_type or REFUSALS[kind].type
    ssm, name = clients.client("ssm", str(paths.setting(environment, "region"))), refusals.parameter_of(chosen)
    if end:
        try:
            ssm.delete_parameter(Name=name)
        except ClientError as error:
            raise Failure(f"{chosen} is not refused.") from error
        say(f"{chosen} is not refused any more.")
    else:
        ssm.put_parameter(Name=name, Value=kind, Type="String", Overwrite=True)
        say(f"{chosen} is refused: {kind}. To end it: spotfleet refuse {kind} --type {chosen} --end")

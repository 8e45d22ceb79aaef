"""spotfleet rates: how often AWS takes Spot machines back."""

import json

import click

from spotfleet.behaviour import spot_rates
from spotfleet.behaviour.spot_pools import Pool
from spotfleet.cli import fleet
from spotfleet.cli.verb import Verb, environment_argument, json_option
from spotfleet.local.host.console import say


@click.command(cls=Verb)
@environment_argument
@json_option()
def rates(environment: str, as_json: bool) -> None:
    """Show what a day of Spot interruptions would do.

    By the frequencies that AWS has published for the types of the Spot machines that run now: each machine by itself,
    and whole pools at once, as AWS takes capacity back.
    """
    machines = fleet.read(environment).machines
    forecast = spot_rates.day([Pool(one.type, one.zone) for one in machines if one.running and one.spot])
    if as_json:
        say(json.dumps(forecast, indent=2))
        return
    say(f"{'type':<14} {'machines':>8} {'a month':>9} {'a day':>8}")
    for row in forecast["types"]:
        known = "" if row["published"] else "  (not listed here: AWS's average)"
        say(f"{row['type']:<14} {row['machines']:>8} {row['monthly']:>8.0%} {row['daily']:>8.2%}{known}")
    if not forecast["types"]:
        say("no Spot machine runs")
    for row in forecast["pools"]:
        lost = "its machine" if row["machines"] == 1 else f"all its {row['machines']} machines at once"
        say(f"{row['pool']} loses {lost} on {row['daily']:.3%} of the days, at worst")
    say(f"\nInterruptions expected in a day: {forecast['expected']:.3f}.")
    for words, key in (("Each machine by itself", "each"), ("Whole pools at once", "together")):
        found = forecast[key]
        say(f"{words}: two or more on {found['several']:.4%} of the days, {found['bad_day']} on one day in a hundred.")
    say("Real days of AWS, whatever LOCAL_SPEED says. Source: https://aws.amazon.com/ec2/spot/instance-advisor/")

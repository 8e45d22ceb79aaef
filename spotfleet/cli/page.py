"""spotfleet open: the live page in a browser."""

import json
import webbrowser

import click

from spotfleet.cli.verb import Verb, json_option
from spotfleet.local.api import embedded_aws
from spotfleet.local.host import paths
from spotfleet.local.host.console import Failure, say


@click.command("open", cls=Verb)
@json_option('Print one JSON object: {"url": …, "opened": true or false}.')
def open_page(as_json: bool) -> None:
    """Open the live page in your browser, and print its address.

    The page shows every environment that runs here. Its address ends with the page's key, which your browser gets on
    its command line: where other users of the machine may see that, open the address of `spotfleet status` yourself.
    """
    if embedded_aws.find() is None:
        raise Failure(f"The embedded AWS does not run at {paths.endpoint()}. Start it with: spotfleet up")
    url = embedded_aws.page_url()
    opened = webbrowser.open(url)
    if as_json:
        say(json.dumps({"url": url, "opened": opened}))
    else:
        say(url if opened else f"{url}\nThere is no browser here that can be started: open this address in yours.")

"""Writes docs/cli.md from the help of each verb: `python -m tools.cli_page`."""

from pathlib import Path

import click

from spotfleet.cli.main import VERBS, spotfleet, verb

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
# Whatever terminal this is written at.
WIDTH = 100

INTRODUCTION = """# The command `spotfleet`

It launches environments on [the AWS on your machine](local-aws.md), shows what they do, and does them harm; AWS itself
is deployed to with plain `sceptre`. `make up`, `down`, `status` and `load` call it. This page is written by
`python -m tools.cli_page` from what `spotfleet VERB --help` prints.

`make up` installs it in `.venv`, and `. .venv/bin/activate` puts it on your PATH; `.venv/bin/spotfleet` works without,
from any folder.

It ends with 0 when all went well, 1 when not, in a line on the standard error output that says what to do, 2 when it
was called wrongly, and 130 after Ctrl-C. `status` ends with 1 as well while an environment is not complete and healthy,
`why` while something is wrong with it, and `exec` and `load` with what their command ends with. What a program asks for
with `--json` is all that is on the standard output."""


def page() -> str:
    """Return the text of docs/cli.md."""
    chapters = [INTRODUCTION, _block(_help(spotfleet, None))]
    for name in VERBS:
        chapters += [f"## spotfleet {name}", _block(_help(verb(name), spotfleet))]
    return "\n\n".join(chapters) + "\n"


def _help(command: click.Command, group: click.Command | None) -> str:
    settings = {**spotfleet.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    above = click.Context(group, info_name=spotfleet.name) if group else None
    return command.get_help(click.Context(command, parent=above, info_name=command.name, **settings))


def _block(text: str) -> str:
    # Where a paragraph is not to be wrapped anew, click leaves an empty character.
    lines = "\n".join(line.rstrip() for line in text.replace("\b", "").splitlines())
    return f"```console\n{lines}\n```"


if __name__ == "__main__":
    PAGE.write_text(page())

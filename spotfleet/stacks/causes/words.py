"""A cause of a failure, and how AWS's own words are recognised as one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True)
class Cause:
    """What failed, in one sentence without its full stop, and what to do about it; `said` are AWS's own words.

    `kind` is for programs. `log` has the last lines that a container has printed, where they belong to the cause.
    """

    kind: str
    sentence: str
    way_out: str
    time: datetime | None = None
    said: str = ""
    log: Sequence[str] = ()

    def at(self, time: datetime | None, said: str = "") -> "Cause":
        """Return the cause with the moment at which it showed, and how AWS said so."""
        return replace(self, time=time, said=said or self.said)


@dataclass(frozen=True)
class Words:
    """A kind of failure by a text of AWS's, and `source`, where AWS or one of its users has it so.

    Sentence and way out are format strings: of the pattern's named groups, and of what else is known.
    """

    kind: str
    pattern: str
    sentence: str
    way_out: str
    source: str

    def found(self, text: str, known: Mapping[str, str]) -> Cause | None:
        """Return the cause where a text has these words."""
        match = re.search(self.pattern, text, re.IGNORECASE | re.DOTALL)
        if match is None:
            return None
        values = {**known, **{name: value or known.get(name, "") for name, value in match.groupdict().items()}}
        return Cause(self.kind, self.sentence.format_map(values), self.way_out.format_map(values), said=text)


def recognised(text: str, table: Sequence[Words], **known: str) -> Cause | None:
    """Return the cause that a text names, by the first row of a table that it matches."""
    return next((cause for words in table if (cause := words.found(text, known))), None)

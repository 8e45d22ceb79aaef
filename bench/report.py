"""What was measured, held against the goals, as a table and as JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any

from bench.measure import Ratios
from bench.servers import ARTICLE, DRAIN_SECONDS, FASTAPI, SANIC, SPOTFLEET, STARLETTE

# The bars of a burst of new connections.
MOST_P99_MS = 100
MOST_MS = 1000


@dataclass
class Row:
    """One server: medians at 32 connections, some at 256."""

    name: str
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    requests_per_s_256: float
    p99_ms_256: float
    rss_mib: float
    ratio: Ratios
    ratio_256: Ratios
    start_ms: float = 0.0


@dataclass
class Goal:
    """One goal: what is compared, the bar, what was measured, and whether that is good enough."""

    number: str
    what: str
    bar: str
    measured: str
    met: bool


@dataclass
class Result:
    """All that was measured."""

    environment: dict[str, str]
    rows: dict[str, Row] = field(default_factory=dict)
    ratios: dict[str, Ratios] = field(default_factory=dict)
    newcomers: dict[str, dict[str, float]] = field(default_factory=dict)
    ends: dict[str, dict[str, float]] = field(default_factory=dict)
    images: dict[str, dict[str, float]] = field(default_factory=dict)
    quarter_core: dict[str, dict[str, float]] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        rows = [
            {key: _rounded(value) for key, value in vars(row).items()}
            | {"ratio": row.ratio.to_json(), "ratio_256": row.ratio_256.to_json()}
            for row in self.rows.values()
        ]
        named = {
            name: {key: {name: _rounded(value) for name, value in inner.items()} for key, inner in part.items()}
            for name, part in (
                ("newcomers", self.newcomers),
                ("sigterm", self.ends),
                ("images", self.images),
                ("quarter_core", self.quarter_core),
            )
        }
        return {
            "environment": self.environment,
            "rows": rows,
            "ratios": {name: found.to_json() for name, found in self.ratios.items()},
            **named,
            "goals": [asdict(goal) for goal in self.goals],
        }


def judge(result: Result) -> None:
    """Hold what was measured against the goals."""

    def at_least(number: str, what: str, name: str, bar: float) -> None:
        found = result.ratios[name]
        result.goals.append(Goal(number, what, f"at least {bar:g}", _spread(found), found.median >= bar))

    def at_most(number: str, what: str, name: str, bar: float) -> None:
        found = result.ratios[name]
        result.goals.append(Goal(number, what, f"at most {bar:g}", _spread(found), found.median <= bar))

    at_least("1", "requests/s, 32 connections", "rate 32", 1.5)
    at_least("1", "requests/s, 256 connections", "rate 256", 1.35)
    at_most("1", "p99, 32 connections", "p99 32", 0.95)
    at_most("1", "p99, 256 connections", "p99 256", 0.95)
    at_most("1", "the article's code on uvloop stays below the bar", "uvloop 32", 1.5)
    at_least("2", "requests/s with a log line each (article without)", "log 32", 1.0)
    at_least("3", "requests/s with an Origin header", "origin 32", 1.3)
    at_least("4", "requests/s at 0.25 core", "rate 0.25", 1.3)
    at_most("4", "p99 of 3,000/s offered at 0.25 core", "p99 offered 0.25", 0.6)
    newest = result.newcomers[SPOTFLEET]
    measured = f"{newest['p99_ms']:.0f} ms, longest {newest['max_ms']:.0f} ms"
    fast = newest["p99_ms"] <= MOST_P99_MS and newest["max_ms"] < MOST_MS
    result.goals.append(Goal("5", "200 new connections", "p99 at most 100 ms, none over 1 s", measured, fast))
    at_most("6", "start at 0.25 core", "start 0.25", 1.0)
    at_most("7", "memory", "memory", 1.1)
    for peer in (STARLETTE, FASTAPI, SANIC):
        at_least("8", f"requests/s over {peer}'s", f"over {peer}", 1.0)
    end = result.ends[SPOTFLEET]
    measured = f"{end['broken']:.0f} broken, {end['refused']:.0f} refused in {end['times']:.0f}"
    result.goals.append(Goal("-", "SIGTERM under load", "0 and 0", measured, not end["broken"] and not end["refused"]))
    longest, bar = end["longest_s"], DRAIN_SECONDS + 1
    result.goals.append(
        Goal("-", "from SIGTERM to the end", f"at most {bar} s", f"longest {longest:.1f} s", longest <= bar)
    )
    size = result.images[SPOTFLEET]["size_mb"] / result.images[ARTICLE]["size_mb"]
    result.goals.append(Goal("-", "image size", "at most 0.33", f"{size:.2f}", size <= 1 / 3))
    rebuild = result.images[SPOTFLEET]["rebuild_s"]
    result.goals.append(Goal("-", "rebuild after one line", "under 3 s", f"{rebuild:.1f} s", rebuild < 3))  # noqa: PLR2004


def table(result: Result) -> str:
    """Return what was measured as Markdown."""
    lines = [
        "| server | requests/s | ÷ article, 32 connections | 256 | p50 ms | p99 ms | memory MiB | start ms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in sorted(result.rows.values(), key=lambda row: row.ratio.median):
        lines.append(
            f"| {row.name} | {row.requests_per_s:,.0f} | {_spread(row.ratio)} | {row.ratio_256.median:.2f} "
            f"| {row.p50_ms:.2f} | {row.p99_ms:.2f} | {row.rss_mib:.0f} | {row.start_ms:.0f} |"
        )
    lines += ["", "| | article | spotfleet |", "|---|---:|---:|"]
    for label, part, key, digits in (
        ("0.25 core: requests/s", result.quarter_core, "requests_per_s", 0),
        ("0.25 core, 3,000/s offered: p99 ms", result.quarter_core, "offered_p99_ms", 1),
        ("0.25 core: start ms", result.quarter_core, "start_ms", 0),
        ("200 new connections beside 128 busy ones: p99 ms", result.newcomers, "p99_ms", 0),
        ("SIGTERM under 64 connections: requests broken", result.ends, "broken", 0),
        ("image MB", result.images, "size_mb", 0),
        ("rebuild after one line, s", result.images, "rebuild_s", 1),
    ):
        lines.append(f"| {label} | {part[ARTICLE][key]:,.{digits}f} | {part[SPOTFLEET][key]:,.{digits}f} |")
    lines += ["", "| goal | what, ÷ article | bar | measured, median (spread) | |", "|---|---|---|---|---|"]
    for goal in result.goals:
        verdict = "yes" if goal.met else "**no**"
        lines.append(f"| {goal.number} | {goal.what} | {goal.bar} | {goal.measured} | {verdict} |")
    return "\n".join(lines)


def _spread(found: Ratios) -> str:
    if len(found.values) == 1:
        return f"{found.median:.2f}"
    return f"{found.median:.2f} ({min(found.values):.2f} to {max(found.values):.2f})"


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value

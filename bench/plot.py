"""Draws what was measured: `python -m bench.plot service.json service.png`. Runs where matplotlib is installed."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes

OURS, THEIRS, BASELINE = "#1b7837", "#9aa5b1", "#5b6b7a"


def main(data: Path, picture: Path) -> None:
    """Draw `data` into `picture`."""
    mpl.use("Agg")
    result = json.loads(data.read_text())
    rows = sorted(result["rows"], key=lambda row: row["ratio"]["median"])
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4.5), width_ratios=[5, 3, 3], sharey=True, layout="constrained")
    rates(axes[0], rows)
    bars(axes[1], rows, "p99_ms", "p99 at 32 connections, ms")
    bars(axes[2], rows, "rss_mib", "memory after load, MiB")
    figure.suptitle("One process on one core, servers in turns; bars are medians, lines the spread of the rounds")
    figure.savefig(picture, dpi=120)


def rates(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Draw the requests per second, the article's application being 1."""
    names = [row["name"] for row in rows]
    medians = [row["ratio"]["median"] for row in rows]
    spread = [
        [row["ratio"]["median"] - row["ratio"]["min"] for row in rows],
        [row["ratio"]["max"] - row["ratio"]["median"] for row in rows],
    ]
    axes.barh(names, medians, xerr=spread, color=colours(rows), error_kw={"elinewidth": 1, "capsize": 2})
    for position, row in enumerate(rows):
        label = f"{row['ratio']['median']:.2f}   {row['requests_per_s']:,.0f}/s"
        axes.text(
            row["ratio"]["max"] + 0.04, position, label, va="center", fontsize=8, bbox={"color": "white", "pad": 1}
        )
    axes.axvline(1, color=BASELINE, linewidth=0.8, linestyle=":")
    axes.set_xlim(0, max(row["ratio"]["max"] for row in rows) * 1.35)
    finish(axes, "requests/s ÷ article, 32 connections")


def bars(axes: Axes, rows: list[dict[str, Any]], key: str, title: str) -> None:
    """Draw one figure of every server."""
    axes.barh([row["name"] for row in rows], [row[key] for row in rows], color=colours(rows))
    for position, row in enumerate(rows):
        axes.text(row[key], position, f" {row[key]:.1f}", va="center", fontsize=8)
    axes.set_xlim(0, max(row[key] for row in rows) * 1.2)
    finish(axes, title)


def colours(rows: list[dict[str, Any]]) -> list[str]:
    """Return a colour for each row."""
    return [OURS if "spotfleet" in row["name"] else BASELINE if row["name"] == "article" else THEIRS for row in rows]


def finish(axes: Axes, title: str) -> None:
    """Set the title and take away what is not needed."""
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

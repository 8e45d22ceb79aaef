"""wrk, which makes the load: as many requests as are answered, or so many per second."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PAUSES = Path(__file__).with_name("pauses.lua")
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
# An answer that takes longer is a failure.
LONGEST_SECONDS = 10


@dataclass
class Burst:
    """What one burst of load measured."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float


def run(
    url: str,
    connections: int,
    seconds: int,
    *,
    per_second: float | None = None,
    headers: Iterable[str] = (),
    core: int | None = None,
) -> Burst:
    """Send requests for `seconds`; without `per_second` each connection sends its next one at once.

    Otherwise each connection pauses in between, so that slow answers make the requests fewer than that: take many
    connections. Raises RuntimeError when a request got no answer, or another one than success.
    """
    pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
    limits = ["-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={LONGEST_SECONDS}s", "--latency"]
    paused = [f"--script={PAUSES}", url, "--", f"{1000 * connections / per_second:.1f}"] if per_second else [url]
    command = [*pinned, "wrk", *limits, *(f"--header={header}" for header in headers), *paused]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if "Non-2xx" in output or "Socket errors" in output or not rate:
        raise RuntimeError(f"wrk did not get the answers it wanted:\n{output}")
    return Burst(float(rate[1]), _percentile(output, 50), _percentile(output, 99))


def _percentile(output: str, percent: int) -> float:
    """Return a latency from wrk's table, in ms."""
    found = re.search(rf"\b{percent}%\s+([\d.]+)(us|ms|s|m)\b", output)
    if not found:
        raise RuntimeError(f"No {percent} % in wrk's output:\n{output}")
    return float(found[1]) * MILLISECONDS[found[2]]

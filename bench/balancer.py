"""Measures what the embedded load balancer carries of what a task answers directly.

    make up                      # of an environment with one task: min_tasks and max_tasks 1
    python -m bench.balancer

Both ways end at the same task and are asked in turn, round by round: other work on the machine slows both. Let the task
write no log lines (`environment_variables: {LOG_REQUESTS: "false"}`): what Docker makes of them takes more of two cores
than the load balancer does.
"""

import statistics
import sys

from bench import wrk
from spotfleet.cli import status
from spotfleet.local.host.console import Failure, complain, say

ROUNDS = 7
SECONDS = 3
CONNECTIONS = 64
LEAST_SHARE = 0.7


def main(environment: str = "dev") -> int:
    """Measure, print each round, and return 0 when the median share is not below the least."""
    try:
        direct, balanced = _addresses(environment)
    except Failure as failure:
        complain(str(failure))
        return 1
    shares = []
    for number in range(ROUNDS):
        alone, through = (wrk.run(url, connections=CONNECTIONS, seconds=SECONDS) for url in (direct, balanced))
        shares.append(through.requests_per_s / alone.requests_per_s)
        say(f"{number + 1}: {alone.requests_per_s:.0f} and {through.requests_per_s:.0f} requests/s, {shares[-1]:.2f}")
    share = statistics.median(shares)
    say(f"{share:.2f} in the median, from {min(shares):.2f} to {max(shares):.2f}; at least {LEAST_SHARE} is the goal")
    return 0 if share >= LEAST_SHARE else 1


def _addresses(environment: str) -> tuple[str, str]:
    """Return the address of the one task, and that of the load balancer before it."""
    found = status.of_environment(environment)
    if found is None or found.url is None or len(found.tasks) != 1 or found.tasks[0].address is None:
        raise Failure(f"{environment} has to be up, with one task: set min_tasks and max_tasks to 1, then make up")
    return f"http://{found.tasks[0].address}/", found.url


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))

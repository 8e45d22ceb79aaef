"""The hook !watched_tasks: what ends while a service is launched is told at once, with the setting that it lacks."""

from sceptre.hooks import Hook

from spotfleet.stacks import account, ended_tasks
from spotfleet.stacks.once import once_per_command


class WatchedTasks(Hook):
    """Watches the tasks of the stack's service until !failure_reason asks for the first cause."""

    @once_per_command
    def run(self) -> None:
        """Begin to watch."""
        account.require_right(self.stack, self.logger)
        ended_tasks.watch(self.stack, self.logger)

"""The hook !safe_changes: no launch tears a living environment apart."""

from threading import Lock

from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from spotfleet.configuration.given_settings import settings_of
from spotfleet.settings.environment import Settings
from spotfleet.stacks import (
    account,
    deployed_environment,
    former_names,
    living_changes,
    machine_images,
    name_stack_in_errors,
    planned_replacements,
    replacements,
)
from spotfleet.stacks.once import once_per_command

# Every stack of a launch has the hook; whichever is first asks for all of them.
_passed: set[tuple[str, str, str]] = set()
_lock = Lock()


class SafeChanges(Hook):
    """Compares what is deployed of the whole environment with what its settings say now."""

    @once_per_command
    def run(self) -> None:
        """Raise SceptreException with each change that would break what runs, before any stack is touched.

        Says as well what people may notice of the others.
        """
        name_stack_in_errors.name_stack(self.stack)
        account.require_right(self.stack, self.logger)
        environment = self.stack.name.rpartition("/")[0]
        this = (deployed_environment.name_of(self.stack, ""), self.stack.region, environment)
        with _lock:
            if this in _passed:
                return
            self._check(environment)
            _passed.add(this)

    def _check(self, environment: str) -> None:
        settings = Settings.model_validate(settings_of(self.stack.config))
        deployed = deployed_environment.read(self.stack, list(settings.services))
        found = list(living_changes.refusals(deployed, settings, environment))
        if deployed != living_changes.Deployed():
            found += replacements.refusals(
                planned_replacements.find(self.stack),
                [text.split()[0] for text in found],
                living_changes.elsewhere(environment),
            )
        if found:
            raise SceptreException(f"{environment} was not touched. {'; '.join(found)}.")
        machine_images.require_present(self.stack, settings, deployed, self.logger)
        for remark in living_changes.remarks(deployed, settings):
            self.logger.warning("%s", remark)
        if deployed == living_changes.Deployed():
            for remark in former_names.remarks(self.stack, environment):
                self.logger.warning("%s", remark)

"""A service as it comes out of a file: its settings, and what became of each part of the file."""

from dataclasses import dataclass, field
from typing import Any, get_args

from spotfleet.settings.machines import MachineSettings
from spotfleet.settings.service import ServiceSettings

# Stands for the environment's name in values that differ by it.
ENVIRONMENT = "{environment}"
ENVIRONMENT_SETTINGS = MachineSettings.model_fields
SETTINGS = ServiceSettings.model_fields


@dataclass
class Service:
    """One service of one environment, or of all of them.

    `settings` are its entry under `services`, `of_environment` what the whole environment must have for it. The three
    lists are what was taken over, what was taken over with a change, and what was not, with the reason.
    """

    name: str
    kind: str = "web"
    settings: dict[str, Any] = field(default_factory=dict)
    of_environment: dict[str, Any] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    not_taken: list[str] = field(default_factory=list)
    # Parameters to store before the launch.
    to_store: list[str] = field(default_factory=list)

    def set(self, setting: str, value: object, source: str) -> None:
        """Take a value over as a setting, where there is such a setting."""
        if setting not in SETTINGS:
            self.drop(source, f"would be the setting {setting}, which there is not yet")
            return
        self.settings[setting] = value
        self.taken.append(f"{source}: {setting}")

    def set_of_environment(self, setting: str, value: object, source: str) -> None:
        """Take a value over as a setting of the whole environment, where there is such a setting."""
        if setting not in ENVIRONMENT_SETTINGS:
            self.drop(source, f"would be the setting {setting}, which there is not yet")
            return
        self.of_environment[setting] = value
        self.taken.append(f"{source}: {setting}, of the whole environment")

    def change(self, source: str, words: str) -> None:
        """Say what one must know of a part that was taken over otherwise than it was."""
        self.changed.append(f"{source}: {words}")

    def drop(self, source: str, words: str) -> None:
        """Say why a part was not taken over."""
        self.not_taken.append(f"{source}: {words}")

    def within(self, setting: str, value: float, source: str) -> None:
        """Take a number over that must be in the setting's range; say so where it is not."""
        if setting in SETTINGS:
            lowest, highest = bounds(setting)
            number = round(min(max(value, lowest), highest))
            if number != value:
                self.change(source, f"{number}, as {setting} is from {lowest} to {highest}")
            value = number
        self.set(setting, value, source)


def kinds() -> tuple[str, ...]:
    """Return the kinds of service that there are."""
    return get_args(SETTINGS["kind"].annotation) if "kind" in SETTINGS else ("web",)


def bounds(setting: str) -> tuple[int, int]:
    """Return the lowest and the highest number that a setting may have."""
    found = {type(one).__name__: one for one in SETTINGS[setting].metadata}
    return getattr(found["Ge"], "ge", 0), getattr(found["Le"], "le", 0)

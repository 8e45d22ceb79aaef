"""The settings of an environment: what config/<env>/config.yaml may say, and what is wrong with it if anything."""

from typing import Any

from pydantic import Field

from spotfleet.settings.cluster import ClusterSettings
from spotfleet.settings.load_balancer import LoadBalancerSettings
from spotfleet.settings.machines import MachineSettings
from spotfleet.settings.network import NetworkSettings
from spotfleet.settings.sceptre import SceptreSettings
from spotfleet.settings.section import Section
from spotfleet.settings.service import ServiceSettings


class Settings(
    ServiceSettings, MachineSettings, ClusterSettings, LoadBalancerSettings, NetworkSettings, SceptreSettings
):
    """Everything that holds for all stacks of one environment."""

    services: dict[str, dict[str, Any]] = Field(
        default={},
        description="further services: by the name of the stack file, the settings of the layer service that differ",
    )


SECTIONS: tuple[type[Section], ...] = (
    NetworkSettings,
    LoadBalancerSettings,
    ClusterSettings,
    MachineSettings,
    ServiceSettings,
)


def defaults() -> dict[str, Any]:
    """Return the value of each of this project's settings that an environment need not give."""
    fields = {name: field for name, field in Settings.model_fields.items() if name not in SceptreSettings.model_fields}
    return {name: field.get_default() for name, field in fields.items() if not field.is_required()}


def service_settings(settings: Settings) -> dict[str, ServiceSettings]:
    """Return the settings of every service: by its name under `services`, the first one's under the empty name."""
    shared = {name: getattr(settings, name) for name in ServiceSettings.model_fields}
    everyones = {"": {}, **settings.services}
    return {name: ServiceSettings.model_validate(shared | own) for name, own in everyones.items()}

"""The whole table of rules."""

from tests.rules import capacity, changes, images_and_network, machines, security, services
from tests.rules.rule import Rule
from tests.support.rendered import Layers

TABLE: list[Rule] = [
    *capacity.RULES,
    *services.RULES,
    *machines.RULES,
    *images_and_network.RULES,
    *security.RULES,
    *changes.RULES,
]


def findings(layers: Layers) -> list[str]:
    """Return what goes against any rule in an environment's templates."""
    return [text for rule in TABLE for text in rule.findings(layers)]

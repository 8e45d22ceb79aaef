"""Few combinations of many options in which nevertheless every two values of different options meet."""

import itertools
from collections.abc import Mapping, Sequence

# An option and the index of one of its values.
Choice = tuple[str, int]
Pair = frozenset[Choice]


def all_pairs(options: Mapping[str, Sequence[object]]) -> list[dict[str, int]]:
    """Return combinations, each an index of a value by option, that hold every pair of values at least once.

    Each combination begins with a pair that is still missing; then option by option takes the value that makes most of
    the pairs that are missing.
    """
    missing = {
        frozenset({(one, i), (other, j)})
        for one, other in itertools.combinations(options, 2)
        for i, j in itertools.product(range(len(options[one])), range(len(options[other])))
    }
    combinations = []
    while missing:
        combination = dict(min(missing, key=sorted))
        for option in options:
            if option not in combination:
                combination[option] = _best(option, len(options[option]), combination, missing)
        missing -= _pairs(combination)
        combinations.append(combination)
    return combinations


def _best(option: str, values: int, combination: dict[str, int], missing: set[Pair]) -> int:
    def new_pairs(value: int) -> int:
        return sum(frozenset({(option, value), choice}) in missing for choice in combination.items())

    return max(range(values), key=new_pairs)


def _pairs(combination: dict[str, int]) -> set[Pair]:
    return {frozenset(pair) for pair in itertools.combinations(combination.items(), 2)}

"""Puts functions of ours in the place of MiniStack's: each stands with its AWS service, and names its place.

    @extends(ecs, "_run_task")                      # an attribute of a module or a class; it has to exist
    def within_maximum(original, data): ...         # gets what stood there before as its first argument

    @replaces(ecs._ACTION_MAP, "StopTask")          # an entry of a table; it may be new
    def stop_task(data): ...                        # stands there alone

`apply` does it all at once, so that it does not matter which module is imported first: attributes come before entries,
because tables hold some of the attributes' functions (`held_by` names those), and nothing gets two of ours.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

Table = dict[Any, Any]
Place = ModuleType | type | Table
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Patch:
    """A function of ours and the place that it takes; `bound` are arguments that it always gets."""

    place: Place
    name: str
    function: Callable[..., Any]
    keeps_original: bool
    held_by: tuple[tuple[Place, str], ...]
    bound: dict[str, Any]

    @property
    def of_table(self) -> bool:
        """Whether the place is an entry of a table."""
        return isinstance(self.place, dict)


_patches: list[Patch] = []


def extends(
    place: Place,
    name: str,
    *,
    held_by: Iterable[tuple[Place, str]] = (),
    **bound: Any,  # noqa: ANN401  # what the function takes
) -> Callable[[Function], Function]:
    """Put the decorated function in a place; it gets what stood there as its first argument."""
    return _taking(place, name, held_by, bound, keeps_original=True)


def replaces(
    place: Place,
    name: str,
    *,
    held_by: Iterable[tuple[Place, str]] = (),
    **bound: Any,  # noqa: ANN401  # what the function takes
) -> Callable[[Function], Function]:
    """Put the decorated function in a place, instead of what stood there."""
    return _taking(place, name, held_by, bound, keeps_original=False)


def _taking(
    place: Place, name: str, held_by: Iterable[tuple[Place, str]], bound: dict[str, Any], *, keeps_original: bool
) -> Callable[[Function], Function]:
    if keeps_original or not isinstance(place, dict):
        _get(place, name)
    if any(patch.place is place and patch.name == name for patch in _patches):
        raise ValueError(f"{_called(place, name)} has a function of ours already: which came first would be chance")

    def take(function: Function) -> Function:
        _patches.append(Patch(place, name, function, keeps_original, tuple(held_by), bound))
        return function

    return take


@functools.cache
def apply() -> None:
    """Put every decorated function in its place, once; AttributeError when MiniStack has a place no more."""
    for patch in sorted(_patches, key=lambda one: (one.of_table, not one.held_by)):
        original = _get(patch.place, patch.name) if patch.keeps_original or patch.held_by else None
        ours = _standing_in(patch, original)
        for holder, name in patch.held_by:
            if _get(holder, name) is not original:
                raise AttributeError(f"{_called(holder, name)} is not {_called(patch.place, patch.name)} any more")
            _set(holder, name, ours)
        _set(patch.place, patch.name, ours)


def _standing_in(patch: Patch, original: Any) -> Callable[..., Any]:  # noqa: ANN401  # a function of MiniStack's
    first = (original,) if patch.keeps_original else ()
    if not first and not patch.bound:
        return patch.function

    # Functions, where partials would do: MiniStack looks whether one is a coroutine, and classes bind only functions.
    if inspect.iscoroutinefunction(patch.function):

        async def wait(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            return await patch.function(*first, *arguments, **patch.bound, **named)

        return wait

    def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        return patch.function(*first, *arguments, **patch.bound, **named)

    return call


def _get(place: Place, name: str) -> Any:  # noqa: ANN401  # a function of MiniStack's
    if isinstance(place, dict):
        if name not in place:
            raise AttributeError(f"MiniStack has no {name} in that table any more")
        return place[name]
    return getattr(place, name)


def _set(place: Place, name: str, function: Callable[..., Any]) -> None:
    if isinstance(place, dict):
        place[name] = function
    else:
        setattr(place, name, function)


def _called(place: Place, name: str) -> str:
    return name if isinstance(place, dict) else f"{place.__name__}.{name}"

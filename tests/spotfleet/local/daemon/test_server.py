"""In which order the parts of the embedded AWS end."""

import asyncio
from collections.abc import Awaitable, Callable

from spotfleet.local.daemon import server


def test_tasks_are_answered_until_everything_else_has_ended() -> None:
    ends: list[str] = []

    async def everything() -> None:
        await asyncio.sleep(0.01)
        ends.append("everything")

    async def door(ended: Callable[[], Awaitable[object]]) -> None:
        await ended()
        ends.append("door")

    asyncio.run(server.with_door(everything(), door))
    assert ends == ["everything", "door"]


def test_the_door_ends_with_a_server_that_fails() -> None:
    ends: list[str] = []

    async def everything() -> None:
        raise OSError("no port")

    async def door(ended: Callable[[], Awaitable[object]]) -> None:
        await ended()
        ends.append("door")

    async def both() -> None:
        try:
            await server.with_door(everything(), door)
        except OSError:
            ends.append("failed")
        await asyncio.sleep(0.01)

    asyncio.run(both())
    assert sorted(ends) == ["door", "failed"]

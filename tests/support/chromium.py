"""A headless Chromium that a test drives through its DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/
"""

import asyncio
import base64
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from spotfleet.local.host import packages

# Seconds that a test waits for the browser, on a busy machine too.
PATIENCE = 60


class Tab:
    """A page in the browser; `errors` is what its console has complained of."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401  # as the protocol has them
        """Give a command and return its result."""
        number = next(self._numbers)
        answered = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        answer = await asyncio.wait_for(answered, PATIENCE)
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    async def value(self, expression: str) -> Any:  # noqa: ANN401  # what the page has
        """Return the value of a JavaScript expression."""
        answer = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:  # noqa: ANN401  # what the page has
        """Wait until an expression is true, and return its value."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not (value := await self.value(expression)):
            assert asyncio.get_running_loop().time() < deadline, (expression, self.errors)
            await asyncio.sleep(0.05)
        return value

    async def open(self, url: str, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Show an address in a window of this size."""
        for domain in ("Runtime", "Log", "Page"):
            await self.send(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])
        await self.resize(width, height)
        await self.send("Page.navigate", url=url)

    async def resize(self, width: int, height: int = 900) -> None:
        """Give the window another size."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    async def point(self, x: float, y: float) -> None:
        """Move the mouse."""
        await self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    async def press(self, key: str) -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    async def picture(self, file: Path, *, whole: bool = True) -> None:
        """Write what is seen into a PNG file."""
        answer = await self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(answer["data"]))

    async def close(self) -> None:
        """Stop listening."""
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading

    async def _read(self) -> None:
        async for message in self._socket:
            content = json.loads(message.data)
            match content.get("method"):
                case None:
                    self._waiting.pop(content["id"]).set_result(content)
                case "Runtime.exceptionThrown":
                    self.errors.append(json.dumps(content["params"]["exceptionDetails"]))
                case "Log.entryAdded" if content["params"]["entry"]["level"] in ("error", "warning"):
                    self.errors.append(json.dumps(content["params"]["entry"]))
                case "Runtime.consoleAPICalled" if content["params"]["type"] in ("error", "warning", "assert"):
                    self.errors.append(json.dumps(content["params"]["args"]))


@asynccontextmanager
async def tab(folder: Path) -> AsyncIterator[Tab]:
    """Run Chromium with its profile in a folder, for the block, and give an empty page of it.

    Installs it as root on Debian; raises console.Failure with the command to run elsewhere.
    """
    command = shutil.which("google-chrome") or "chromium"
    packages.ensure(command, "Chromium (it looks at the live page)")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    process = await asyncio.create_subprocess_exec(
        *[command, *options, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"],
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await asyncio.wait_for(_port(folder / "DevToolsActivePort"), PATIENCE)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (page,) = [item for item in await answer.json() if item["type"] == "page"]
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                opened = Tab(socket)
                yield opened
                await opened.close()
    finally:
        process.terminate()
        await process.wait()


async def _port(file: Path) -> str:
    """Return the port that the browser has chosen, once it has written it down."""
    while not (file.is_file() and (lines := file.read_text().split())):
        await asyncio.sleep(0.05)
    return lines[0]

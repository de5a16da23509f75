"""A headless Chromium to look at pages with, spoken to over a pipe (Chrome DevTools Protocol)."""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.waiting import PATIENCE_SECONDS

FLAGS = [
    "--headless=new",
    "--no-sandbox",  # it runs as root in a container
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
]


def program() -> str | None:
    """Return where Chromium is, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """A tab.

    Attributes
    ----------
    dialogs : list of str
        What `alert` said: empty, unless a script ran that should not have.
    complaints : list of str
        What was written to the console, broken policies among it.
    requests : list of str
        Every address that was asked for, except data held in the page.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session = ""
        self._loaded: set[str] = set()  # pages, each by the number that Chromium gives its loading
        self.dialogs: list[str] = []
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self._call("Page.setLifecycleEventsEnabled", enabled=True)

    def open(self, place: Path | str, *, width: int = 1400, height: int = 900) -> None:
        """Load a file, or a page by its address, and wait until it is there."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        for seen in (self.dialogs, self.complaints, self.requests):
            seen.clear()
        begun = self._call("Page.navigate", url=place if isinstance(place, str) else place.as_uri())
        assert "errorText" not in begun, begun["errorText"]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while begun["loaderId"] not in self._loaded:  # the empty tab may come to its end only now
            self._read(deadline)

    def evaluate(self, expression: str) -> object:
        """Return the value of a JavaScript expression."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key such as `m` or `ArrowRight`."""
        codes = {"ArrowRight": 39, "ArrowLeft": 37, "Tab": 9, "Enter": 13}
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=codes.get(key, ord(key[0].upper())),
                **(text if kind == "keyDown" else {}),
            )

    def click(self, x: float, y: float) -> None:
        """Click at a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """Return the window, or the whole page, as PNG."""
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def dark(self, is_dark: bool) -> None:
        """Ask for the dark or the light look."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def _call(self, method: str, **parameters: object) -> dict:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self._read(deadline)
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _read(self, deadline: float) -> dict:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "Chromium did not answer in time"
            piece = os.read(self._answers, 1 << 20)
            assert piece, "Chromium ended"
            self._rest += piece
        line, self._rest = self._rest.split(b"\0", 1)
        message = json.loads(line)
        self._note(message)
        return message

    def _note(self, message: dict) -> None:
        what = message.get("params", {})
        match message.get("method"):
            case "Page.lifecycleEvent" if what["name"] == "load":
                self._loaded.add(what["loaderId"])
            case "Page.javascriptDialogOpening":
                self.dialogs.append(what["message"])
            case "Log.entryAdded":
                self.complaints.append(what["entry"]["text"])
            case "Runtime.consoleAPICalled":
                self.complaints.append(str(what["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(what["exceptionDetails"]))
            case "Network.requestWillBeSent":
                if not what["request"]["url"].startswith("data:"):
                    self.requests.append(what["request"]["url"])


@contextmanager
def running_browser() -> Iterator[Page]:
    """Run Chromium with one empty tab."""
    chromium = program()
    assert chromium is not None
    from_us, commands = os.pipe()
    answers, to_us = os.pipe()
    with tempfile.TemporaryDirectory(prefix="mipc-chromium-", ignore_cleanup_errors=True) as profile:

        def put_pipes_in_place() -> None:  # the protocol is spoken on descriptors 3 and 4
            read, write = (
                fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (from_us, to_us)
            )  # neither is 3 or 4
            os.dup2(read, 3)
            os.dup2(write, 4)

        process = subprocess.Popen(
            [chromium, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=put_pipes_in_place,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us)
        os.close(to_us)
        try:
            yield Page(commands, answers)
        finally:
            os.close(commands)  # it ends when nobody speaks to it
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
            process.wait()
            os.close(answers)

"""A page that is served in a thread, and a Chromium to open it with; for the tests and for the pictures."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from demo.app import Served, make_app

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LAPTOP, PHONE = (1366, 768), (390, 844)
CHROMIUM = shutil.which("chromium")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
STARTS_IN = 120
"""Seconds in which the server must answer."""


@contextmanager
def served_at(served: Served) -> Iterator[str]:
    """The address of the page while it is served on a free port of the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(make_app(served), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + STARTS_IN
        while not server.started:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the page's server did not start within {STARTS_IN} s")
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


def window(size: tuple[int, int], **more: Any) -> dict[str, Any]:
    """What `Browser.new_context` takes for a window of a size; a phone's is touched."""
    return {"viewport": {"width": size[0], "height": size[1]}, "has_touch": size == PHONE, **more}

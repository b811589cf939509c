"""Debian's Chromium, without a window, and what a page did in it that it must not do."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MS, LOOK_MS = 60_000, 50  # a busy machine is no fault of the page
expect.set_options(timeout=PATIENCE_MS)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
# keeps the contexts of Web Audio, so that a test can look at them
WATCH_AUDIO = """
window.contexts = [];
window.AudioContext = class extends AudioContext {
  constructor(...given) { super(...given); window.contexts.push(this); }
};
"""


@contextlib.contextmanager
def open_chromium() -> Iterator[Callable]:
    """Launches browsers with further flags. The test is skipped where there is no Chromium, but not on CI."""
    if not CHROMIUM.exists() and "CI" not in os.environ:
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright:
        yield lambda *flags: playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, *flags], timeout=PATIENCE_MS
        )


@dataclasses.dataclass
class Seen:
    """addresses: of all that the page asked for. complaints: errors and what the page's policy forbade."""

    addresses: list[str]
    complaints: list[str]

    def check(self, origin: str) -> None:
        """AssertionError if a request left the origin or anything went wrong."""
        assert self.addresses, "nothing was asked for"
        strange = [one for one in self.addresses if not one.startswith((f"{origin}/", f"blob:{origin}/"))]
        assert not strange, strange
        assert not self.complaints, self.complaints


@contextlib.contextmanager
def open_page(browser, origin: str, **settings) -> Iterator:
    """The service's page in a context of its own. settings: of playwright's `new_context`."""
    context = browser.new_context(**settings)
    context.add_init_script(WATCH_AUDIO)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    seen = watch(page)
    page.goto(origin)
    yield page
    context.close()
    seen.check(origin)


def watch(page) -> Seen:
    """What a page does from now on."""
    seen = Seen([], [])
    page.on("request", lambda request: seen.addresses.append(request.url))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("console", lambda message: _note(message, seen))
    return seen


def wait_until(page, expression: str, given=None) -> None:
    """Until a JavaScript expression, or a function of `given`, is true. Playwright's own wait evaluates a
    string, which the page's policy forbids.
    """
    for _ in range(PATIENCE_MS // LOOK_MS):
        if page.evaluate(expression, given):
            return
        page.wait_for_timeout(LOOK_MS)
    raise AssertionError(f"never true: {expression}")


def _note(message, seen: Seen) -> None:
    refused = message.text.startswith("Failed to load resource")  # a status that a test asked for
    if message.type in ("error", "warning") and not refused:
        seen.complaints.append(message.text)

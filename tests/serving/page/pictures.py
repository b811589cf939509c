"""Takes the pictures of docs/service.md: the page of a service that runs, with an answer."""

import argparse
from pathlib import Path

from playwright.sync_api import expect

from tests.serving.page.browser import open_chromium, open_page

DESKTOP = {"viewport": {"width": 1240, "height": 800}}
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 1.5, "has_touch": True}
TEXT, SEED = "the brave sailor reached the harbor,", "3"
LONGEST_MS = 120_000  # for an answer of a model on a CPU


def ask(page) -> None:
    """One answer in speech, of a seed that is said, and its tokens under the cursor."""
    page.wait_for_selector("#generate:enabled", timeout=LONGEST_MS)
    page.locator("#parts textarea").fill(TEXT)
    page.get_by_text("Sampling and length").click()
    page.get_by_label("New seed").uncheck()
    page.locator("[name=seed]").fill(SEED)
    page.get_by_text("Sampling and length").click()
    page.get_by_label("Play sound as it comes").uncheck()
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#status")).to_have_text("The answer is complete.", timeout=LONGEST_MS)
    page.locator("svg .units").nth(8).hover()
    page.wait_for_timeout(500)  # the player draws its length


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:8765")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with open_chromium() as launch, launch() as browser:
        with open_page(browser, f"http://{args.address}", **DESKTOP) as page:
            ask(page)
            page.evaluate("() => { scrollTo(0, 0); document.querySelector('#composer').scrollTop = 0; }")
            page.screenshot(path=args.out / "service-page.png")
        with open_page(browser, f"http://{args.address}", **PHONE) as page:
            ask(page)
            page.locator(".turn").scroll_into_view_if_needed()
            page.screenshot(path=args.out / "service-page-phone.png")


if __name__ == "__main__":
    main()

"""Whom the page is for: a phone, a keyboard, a screen reader, dark rooms, all kinds of colour vision."""

import re

import pytest
from playwright.sync_api import expect

from tests.serving.page.browser import open_page, wait_until
from tests.serving.page.stub import SPOKEN, done, part_of, sound, spoken_answer, text, tokens, tone

pytestmark = pytest.mark.slow
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
NAMED = {
    "button",
    "checkbox",
    "combobox",
    "radio",
    "slider",
    "spinbutton",
    "textbox",
    "link",
    "meter",
    "Audio",
}
LEAST_TOUCH_PX = 44
TOUCHED = "button, input, select, textarea, summary, audio, a, .choice, .check"
LONG = tokens(*(f"[Hu{n % 90}]" for n in range(300)))


def answer(page, stub, steps) -> None:
    stub.answers = [steps]
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#status")).to_have_text("The answer is complete.")


def fill(page, stub) -> None:
    """An answer with all that a page can have."""
    page.locator("#parts textarea").fill(
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamten" * 3
    )
    name = "a_name_without_any_blank_that_is_longer_than_a_telephone_is_wide.wav"
    page.locator("#files").set_input_files({"name": name, "mimeType": "audio/wav", "buffer": bytes(100)})
    page.get_by_text("Sampling and length").click()
    said = [LONG, sound(0, tone(8)), done(part_of(LONG, string="".join(LONG.data["strings"])))]
    answer(page, stub, said)
    page.get_by_text("As a table").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone_and_all_can_be_touched(browser, stub, scheme):
    with open_page(browser, stub.origin, color_scheme=scheme, **PHONE) as page:
        fill(page, stub)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        small = page.evaluate(
            """([controls, least]) => [...document.querySelectorAll(controls)]
            .filter(one => one.checkVisibility() && !one.matches("[type=checkbox], [type=radio]"))
            .filter(one => one.getBoundingClientRect().height < least - 0.5)
            .map(one => one.outerHTML)""",
            [TOUCHED, LEAST_TOUCH_PX],
        )
        assert small == []


def test_every_control_has_a_name(page, stub):
    fill(page, stub)
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in tree if not node["ignored"] and node["role"]["value"] in NAMED]
    assert len(controls) > 20
    assert [node for node in controls if not node.get("name", {}).get("value")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_from_their_ground(browser, stub, scheme):
    """Contrast by WCAG: 4.5 for letters, 3 for what is drawn."""
    with open_page(browser, stub.origin, color_scheme=scheme) as page:
        style = page.evaluate(
            """() => Object.fromEntries(
            ["page", "card", "ink", "muted", "accent", "on-accent", "bad", "edge",
             "text", "units", "pitch", "style", "other", "tag"]
            .map(name => [name, getComputedStyle(document.documentElement).getPropertyValue("--" + name)]))"""
        )
    for ground in ("page", "card"):
        for name in ("ink", "muted", "accent", "bad"):
            assert contrast(style[name], style[ground]) >= 4.5, f"{name} on {ground}"
    assert contrast(style["on-accent"], style["accent"]) >= 4.5
    for name in ("edge", "text", "units", "pitch", "style", "other", "tag"):
        assert contrast(style[name], style["card"]) >= 3, name


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, as WCAG defines it."""
    parts = [int(part, 16) / 255 for part in re.findall("[0-9a-f]{2}", colour.strip())]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_timeline_has_a_lane_for_each_kind_and_says_each_token(page, stub):
    words = tokens(" he", "[Speech]")
    both = done(part_of(tokens(" he"), text=" he"), part_of(SPOKEN, string=""))
    answer(page, stub, [words, text(0, " he"), SPOKEN, sound(1, tone(2)), both])
    expect(page.locator(".lanes li")).to_have_text(["text", "units", "pitch", "style"])
    axis = page.get_by_role("slider", name="Tokens")
    axis.focus()
    page.keyboard.press("End")
    # the last of four units, evenly over two seconds of sound
    expect(axis).to_have_attribute(
        "aria-valuetext", "[Hu4], units, at 1.50 s, probability 50 % (log -0.70), 9 of 9"
    )
    page.keyboard.press("Home")
    expect(page.locator(".readout")).to_have_text("he, text, probability 50 % (log -0.70), 1 of 9")
    page.locator("svg .pitch").last.hover()
    expect(page.locator(".readout")).to_contain_text("[Pi5], pitch, at 1.00 s")
    page.get_by_text("As a table").click()
    expect(page.locator("tbody tr")).to_have_count(9)
    expect(page.locator("tbody tr").last).to_have_text("[Hu4]units1.50 s-0.70")


def test_a_click_on_a_token_plays_from_there_and_a_line_shows_where(page, stub):
    answer(page, stub, spoken_answer(seconds=4))
    expect(page.locator(".sound audio")).to_be_visible()
    page.locator("svg .units").nth(2).click()
    wait_until(page, "document.querySelector('.sound audio').currentTime > 2.1")
    line = page.locator("svg .playhead.shown")
    expect(line).to_be_visible()
    first = float(line.get_attribute("x"))
    wait_until(page, "first => Number(document.querySelector('.playhead').getAttribute('x')) > first", first)


def test_wider_and_narrower_tokens(page, stub):
    answer(page, stub, spoken_answer())
    width = page.locator(".timeline svg")
    before = float(width.get_attribute("width"))
    page.get_by_role("button", name="Wider tokens").click()
    assert float(width.get_attribute("width")) > before
    for _ in range(9):
        page.get_by_role("button", name="Narrower tokens").click()
    assert float(width.get_attribute("width")) < before


def test_the_focus_is_seen_and_nothing_moves_for_whom_it_should_not(browser, stub):
    with open_page(browser, stub.origin, reduced_motion="reduce") as page:
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert page.evaluate("document.getAnimations().length") == 0

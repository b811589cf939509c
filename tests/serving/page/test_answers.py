"""Answers as they come, are stopped, refused and broken off, in a real browser."""

import threading

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from tests.serving.page.browser import open_page, wait_until
from tests.serving.page.stub import (
    MODEL,
    RATE,
    Refusal,
    done,
    part_of,
    sound,
    spoken_answer,
    text,
    tokens,
    tone,
)

pytestmark = pytest.mark.slow
LEAD_S = 0.08  # of page/sound/player.js: no sound begins earlier
WORDS = tokens(" and", " his", " crew")
TEXT_ANSWER = [WORDS, text(0, " and his"), text(0, " crew"), done(part_of(WORDS, text=" and his crew"))]


def choose(page, label: str) -> None:
    page.get_by_label(label, exact=True).check()


def type_prompt(page, words: str) -> None:
    page.locator("#parts textarea").first.fill(words)


def generate(page) -> None:
    page.get_by_role("button", name="Generate").click()


def test_a_text_gives_a_text_as_it_comes(page, stub):
    gate = threading.Event()
    stub.answers = [[*TEXT_ANSWER[:2], gate, *TEXT_ANSWER[2:]]]
    choose(page, "Continue in text")
    type_prompt(page, "the sailor")
    generate(page)
    answer = page.locator(".answer .text")
    expect(answer).to_have_text(" and his")
    expect(page.get_by_role("button", name="Generate")).to_be_disabled()
    gate.set()
    expect(answer).to_have_text(" and his crew")
    expect(page.locator("#status")).to_have_text("The answer is complete.")
    expect(page.locator(".turn .facts")).to_contain_text("The answer ended by itself, 3 tokens")
    (asked,) = stub.asked
    seed = asked.pop("seed")
    assert 0 <= seed < 2**31
    assert asked == {"prompt": [{"text": "the sailor"}], "task": "continue", "output": "text", "stream": True}
    assert page.locator(".turn audio").count() == 0


def test_speech_plays_while_it_comes_and_is_whole_at_the_end(page, stub, tmp_path):
    gate, whole = threading.Event(), spoken_answer(seconds=6)
    stub.answers = [[*whole[:2], gate, *whole[2:]]]
    choose(page, "Continue in speech")
    generate(page)
    pause = page.get_by_role("button", name="Pause")
    expect(pause).to_be_visible()
    wait_until(page, "contexts[0].state === 'running' && contexts[0].currentTime > 0.2")
    pause.click()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert page.evaluate("contexts[0].state") == "suspended"
    page.get_by_role("button", name="Play", exact=True).click()
    gate.set()
    sounds = page.locator(".sound audio")
    expect(sounds).to_be_visible()
    wait_until(page, "document.querySelector('.sound audio').duration > 0")
    assert sounds.evaluate("audio => audio.duration") == pytest.approx(6, abs=0.01)
    sounds.evaluate("audio => audio.play()")
    wait_until(page, "document.querySelector('.sound audio').currentTime > 0.2")
    wait_until(page, "contexts[0].state === 'closed'")  # one sound at a time
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the sound").click()
    download.value.save_as(tmp_path / "answer.wav")
    samples, rate = soundfile.read(tmp_path / "answer.wav", dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(samples, np.concatenate([tone(3), tone(3)]))


def test_sound_waits_where_it_is_not_to_play_by_itself(page, stub):
    stub.answers = [spoken_answer(), spoken_answer()]
    page.get_by_label("Play sound as it comes").uncheck()
    generate(page)
    expect(page.locator(".sound audio")).to_be_visible()
    clock = page.evaluate("contexts[0].currentTime")
    assert clock < LEAD_S, "a context stops a little after it is told to, before any sound"
    page.wait_for_timeout(200)
    assert page.evaluate("contexts[0].currentTime") == clock


def test_sections_follow_without_gaps_and_late_ones_begin_later(page, stub):
    """Web Audio's own clock says when each section begins."""
    begun = page.evaluate(
        """async () => {
        const { Player } = await import("/page/sound/player.js");
        const begun = [];
        const start = AudioBufferSourceNode.prototype.start;
        AudioBufferSourceNode.prototype.start = function (when) { begun.push(when); start.call(this, when); };
        const player = new Player(16000, true);
        for (const size of [3200, 1600, 1600]) player.feed(new Int16Array(size));
        await new Promise((resolve) => setTimeout(resolve, 900));
        player.feed(new Int16Array(1600));
        player.complete();
        await new Promise((resolve) => setTimeout(resolve, 600));
        return { begun, state: player.state, position: player.position };
    }"""
    )
    first, second, third, late = begun["begun"]
    assert second - first == pytest.approx(0.2, abs=1e-6)
    assert third - second == pytest.approx(0.1, abs=1e-6)
    assert late > third + 0.1
    assert begun["state"] == "ended"
    assert begun["position"] == pytest.approx(0.5, abs=1e-6)


def test_an_answer_in_both_modalities_is_in_order(page, stub):
    said = tokens("[Hu1]", "[Hu2]")
    stub.answers = [
        [
            tokens(" he", " said", "[Speech]"), text(0, " he said"), said, sound(1, tone(0.5)),
            tokens("[Text]", " so"), text(2, " so"),
            done(part_of(tokens(" he", " said"), text=" he said"), part_of(said, string=""),
                 part_of(tokens(" so"), text=" so")),
        ]
    ]  # fmt: skip
    choose(page, "Continue in either")
    generate(page)
    expect(page.locator(".answer > p")).to_have_text([" he said", "speech, 0.5 s", " so"])
    assert stub.asked[0]["output"] == "arbitrary"


def test_a_stop_in_mid_stream_keeps_what_came_and_frees_the_service(page, stub):
    stub.answers = [[*TEXT_ANSWER[:2], threading.Event()], TEXT_ANSWER]
    choose(page, "Continue in text")
    generate(page)
    expect(page.locator(".answer .text")).to_have_text(" and his")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#status")).to_have_text("Stopped.")
    expect(page.locator(".turn .facts")).to_contain_text("The answer was stopped, 3 tokens")
    assert stub.left.wait(60)
    generate(page)
    expect(page.locator(".turn").first.locator(".answer")).to_have_text(" and his crew")
    assert page.locator(".turn").count() == 2


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (Refusal(429, "64 requests wait", {"Retry-After": "3"}), "64 requests wait. Try again in 3 s."),
        (
            Refusal(400, "top_p = 3: must be at most 1; correct it"),
            "top_p = 3: must be at most 1; correct it.",
        ),
        (Refusal(503, "the model is not ready"), "the model is not ready."),
    ],
)
def test_a_refusal_is_said_and_the_prompt_stays(page, stub, refusal, says):
    stub.answers = [refusal]
    type_prompt(page, "the sailor")
    generate(page)
    expect(page.locator("#problem")).to_have_text(says)
    expect(page.locator("#parts textarea")).to_have_value("the sailor")
    assert page.locator(".turn").count() == 0
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()


def test_an_error_in_mid_stream_and_a_stream_that_ends_early_are_said(page, stub):
    failed = TEXT_ANSWER[1]._replace(name="error", data={"error": {"message": "generation has failed"}})
    stub.answers = [[*TEXT_ANSWER[:2], failed], TEXT_ANSWER[:2]]
    choose(page, "Continue in text")
    for says in ("generation has failed", "The service broke the answer off. What has come is kept."):
        generate(page)
        expect(page.locator("#problem")).to_have_text(says)
        expect(page.locator(".turn").first.locator(".answer")).to_have_text(" and his")
        expect(page.locator(".turn").first.locator(".facts")).to_contain_text("The answer was broken off")


def test_a_service_that_does_not_answer_is_said(page, stub):
    page.route("**/v1/generate", lambda route: route.abort())
    generate(page)
    expect(page.locator("#problem")).to_contain_text("The service does not answer")


def test_a_token_is_asked_for_and_kept(browser, stub):
    stub.token, stub.answers = "secret", [TEXT_ANSWER]
    with open_page(browser, stub.origin) as page:
        for token in ("wrong", "secret"):
            page.get_by_label("Token", exact=True).fill(token)
            page.get_by_role("button", name="Continue", exact=True).click()
        choose(page, "Continue in text")
        generate(page)
        expect(page.locator(".answer .text")).to_have_text(" and his crew")
        page.reload()
        expect(page.get_by_role("button", name="Generate")).to_be_enabled()
        assert page.evaluate("Object.keys(localStorage)") == []


def test_the_page_waits_for_a_model_that_is_not_ready(browser, stub):
    stub.model = Refusal(503, "the model is not ready")
    with open_page(browser, stub.origin) as page:
        expect(page.locator("#problem")).to_have_text("the model is not ready.")
        stub.model = MODEL
        expect(page.get_by_role("button", name="Generate")).to_be_enabled()
        expect(page.locator("#problem")).to_be_empty()


def test_the_keyboard_generates_and_stops(page, stub):
    stub.answers = [[*TEXT_ANSWER[:2], threading.Event()]]
    page.locator("#parts textarea").focus()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".answer .text")).to_have_text(" and his")
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_have_text("Stopped.")


def test_an_answer_becomes_part_of_the_prompt(page, stub):
    stub.answers = [spoken_answer(), TEXT_ANSWER]
    type_prompt(page, "the sailor")
    generate(page)
    page.get_by_role("button", name="Add this answer to the prompt").click()
    page.keyboard.type("he said")
    choose(page, "Continue in text")
    generate(page)
    expect(page.locator(".turn").first.locator(".answer")).to_have_text(" and his crew")
    said = "[St7][Pi3][Hu1][Hu2][Pi5][Hu3][Hu4]"
    assert stub.asked[1]["prompt"] == [{"text": "the sailor"}, {"tokens": said}, {"text": "he said"}]

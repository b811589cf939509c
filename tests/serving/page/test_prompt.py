"""The prompt and the options in a real browser: files, recordings, order, and what is sent."""

import base64
import io

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from tests.serving.page.browser import open_page, wait_until
from tests.serving.page.stub import MODEL, done, part_of, text, tokens, tone

pytestmark = pytest.mark.slow
WORDS = tokens(" good")
ANSWER = [WORDS, text(0, " good"), done(part_of(WORDS, text=" good"))]


def wav_file(seconds: float, hertz: float = 440, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(seconds, hertz), rate, "PCM_16", format="WAV")
    return file.getvalue()


def upload(page, *files: tuple[str, bytes]) -> None:
    given = [{"name": name, "mimeType": "audio/wav", "buffer": data} for name, data in files]
    page.locator("#files").set_input_files(given)


def ask(page, stub) -> dict:
    """What is sent when Generate is pressed."""
    stub.answers, before = [ANSWER], len(stub.asked)
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".turn")).to_have_count(before + 1)
    expect(page.locator("#status")).to_have_text("The answer is complete.")
    return stub.asked[-1]


def test_an_uploaded_file_is_transcribed(page, stub):
    data = wav_file(0.5)
    page.get_by_role("button", name="Remove").click()
    upload(page, ("said.wav", data))
    page.get_by_label("Transcribe speech").check()
    asked = ask(page, stub)
    assert asked["task"] == "transcribe"
    assert "output" not in asked
    assert base64.b64decode(asked["prompt"][0]["audio"]) == data
    player = page.locator("#parts audio")
    assert player.evaluate("audio => audio.duration") == pytest.approx(0.5, abs=0.01)
    expect(page.locator("#parts")).to_contain_text("said.wav 0.5 s")


def test_files_are_dropped_on_the_prompt(page, stub):
    data = wav_file(0.2)
    dropped = page.evaluate_handle(
        """bytes => {
        const data = new DataTransfer();
        for (const name of ["a.wav", "b.wav"]) data.items.add(new File([new Uint8Array(bytes)], name));
        return data;
    }""",
        list(data),
    )
    page.dispatch_event("#composer", "drop", {"dataTransfer": dropped})
    expect(page.locator("#parts .name")).to_contain_text(["a.wav", "b.wav"])
    assert len(ask(page, stub)["prompt"]) == 3


def test_what_the_microphone_hears_is_a_part(chromium, stub, tmp_path):
    """The browser's microphone is a file with a tone of 1 kHz."""
    file = tmp_path / "heard.wav"
    soundfile.write(file, np.tile(tone(1, hertz=1_000), 4), 16_000)
    with (
        chromium(f"--use-file-for-fake-audio-capture={file}") as browser,
        open_page(browser, stub.origin, permissions=["microphone"]) as page,
    ):
        page.get_by_role("button", name="Record").click()
        wait_until(page, "parseFloat(document.querySelector('#recorded').textContent) > 1")
        assert page.locator("#level").evaluate("meter => meter.value") > 0.3
        page.get_by_role("button", name="Stop recording").click()
        expect(page.locator("#parts .name")).to_contain_text("Recording of")
        sent = ask(page, stub)["prompt"][1]["audio"]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sent)))
    info = soundfile.info(io.BytesIO(base64.b64decode(sent)))
    assert (info.channels, info.subtype) == (1, "PCM_16")
    assert len(samples) / rate > 1
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * rate / len(samples) == pytest.approx(1_000, rel=0.02)


def test_a_recording_ends_at_the_longest_sound(browser, stub):
    stub.model = {**MODEL, "limits": {**MODEL["limits"], "seconds_of_sound": 0.5}}
    with open_page(browser, stub.origin, permissions=["microphone"]) as page:
        page.get_by_role("button", name="Record").click()
        expect(page.locator("#parts .name")).to_contain_text("Recording of")
        expect(page.locator("#recording")).to_be_hidden()


def test_a_recording_can_be_discarded(browser, stub):
    with open_page(browser, stub.origin, permissions=["microphone"]) as page:
        page.get_by_role("button", name="Record").click()
        page.get_by_role("button", name="Discard").click()
        expect(page.locator("#recording")).to_be_hidden()
        expect(page.get_by_role("button", name="Record")).to_be_enabled()
        expect(page.locator("#parts .part")).to_have_count(1)


def test_a_microphone_that_is_refused_is_said(browser, stub):
    with open_page(browser, stub.origin) as page:
        refused = "new DOMException('', 'NotAllowedError')"
        page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = () => Promise.reject({refused}) }}")
        page.get_by_role("button", name="Record").click()
        expect(page.locator("#problem")).to_contain_text("does not let this page use the microphone")
        expect(page.get_by_role("button", name="Record")).to_be_enabled()


def test_parts_are_added_ordered_and_removed_by_the_keyboard_alone(page, stub):
    stub.answers, keys = [ANSWER], page.keyboard

    def press(*names: str) -> str:
        for name in names:
            keys.press(name)
        return page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent")

    assert press("Tab") == "Remove"  # a part alone cannot be moved
    assert press("Tab", "Control+A") == "Text"
    keys.type("one")
    for word in ("two", "three"):
        assert press("Tab") == "Add text"
        press("Enter")
        keys.type(word)
    assert press("Alt+ArrowUp", "Alt+ArrowUp") == "Text"  # three, one, two: the focus moves along
    expect(page.locator("#status")).to_have_text("Moved to place 1 of 3.")
    assert press("Alt+ArrowUp") == "Text"  # nothing is above it
    assert press("Shift+Tab", "Shift+Tab") == "Move down"
    assert press("Enter") == "Move down"  # one, three, two
    press("Tab", "Enter")  # without three
    expect(page.locator("#status")).to_have_text("Removed. 2 parts left.")
    press("Control+Enter")
    expect(page.locator("#status")).to_have_text("The answer is complete.")
    assert stub.asked[0]["prompt"] == [{"text": "one"}, {"text": "two"}]


def test_the_order_of_the_parts_is_the_order_of_the_request(page, stub):
    upload(page, ("a.wav", wav_file(0.2)), ("b.wav", wav_file(0.3)))
    page.locator("#parts textarea").fill("words")
    page.get_by_role("button", name="Move up").nth(1).click()  # b before a
    page.get_by_role("button", name="Move down").first.click()  # words after b
    prompt = ask(page, stub)["prompt"]
    assert [len(base64.b64decode(part.get("audio", ""))) for part in prompt] == [9_644, 0, 6_444]
    page.get_by_role("button", name="Remove").nth(1).click()
    assert [list(part) for part in ask(page, stub)["prompt"]] == [["audio"], ["audio"]]


def test_an_empty_prompt_and_sounds_beyond_the_limit_are_said_and_not_sent(page, stub):
    page.locator("#parts textarea").fill("  ")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#problem")).to_contain_text("The prompt is empty")
    upload(page, ("long.wav", bytes(3_100_000)))
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#problem")).to_have_text("The sounds have 3.1 MB, and the service takes 3.0 MB.")
    assert stub.asked == []


def test_only_options_with_an_effect_are_sent(page, stub):
    page.get_by_text("Sampling and length").click()
    filled = {"Top p": "0.5", "Top k": "40", "Repetition penalty": "1.1", "New tokens at most": "30"}
    for label, value in filled.items():
        page.get_by_label(label).fill(value)
    page.get_by_label("Continue in text").check()
    page.get_by_label("Stop before").fill("the end\n\nstop")
    page.get_by_label("Continue in speech").check()
    page.get_by_label("Voice").select_option("2")
    page.get_by_label("New seed").uncheck()
    page.get_by_label("Seed", exact=False).first.fill("7")
    sampling = {"top_p": 0.5, "top_k": 40, "repetition_penalty": 1.1, "max_new_tokens": 30, "seed": 7}
    for label, expected in {
        "Continue in text": {"task": "continue", "output": "text", "stop": ["the end", "stop"], **sampling},
        "Continue in speech": {"task": "continue", "output": "speech", "speaker": 2, **sampling},
        "Read text aloud": {
            "task": "speak", "speaker": 2, "repetition_penalty": 1.1, "max_new_tokens": 30, "seed": 7
        },
    }.items():  # fmt: skip
        page.get_by_label(label).check()
        asked = ask(page, stub)
        assert {name: asked[name] for name in asked.keys() - {"prompt", "stream"}} == expected
    page.get_by_label("Temperature").fill("0.3")  # reading aloud is greedy by itself
    asked = ask(page, stub)
    assert (asked["temperature"], asked["top_p"], asked["top_k"]) == (0.3, 0.5, 40)


def test_a_value_out_of_range_is_shown_where_it_is(page, stub):
    page.get_by_text("Sampling and length").click()
    page.get_by_label("Top p").fill("3")
    page.get_by_text("Sampling and length").click()
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_label("Top p")).to_be_visible()
    expect(page.get_by_label("Top p")).to_be_focused()
    assert stub.asked == []


def test_the_choices_are_those_of_the_model(browser, stub):
    stub.model = {**MODEL, "streams": [], "speakers": 0, "tasks": ["continue"], "outputs": ["text"]}
    with open_page(browser, stub.origin) as page:
        expect(page.get_by_role("button", name="Generate")).to_be_enabled()
        expect(page.locator(".choice")).to_have_text(["Continue in text"])
        for hidden in ("#record", "#upload", "[name=speaker]", "[name=style]", "[name=autoplay]"):
            expect(page.locator(hidden)).to_be_hidden()
        assert ask(page, stub)["output"] == "text"

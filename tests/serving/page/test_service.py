"""The page and the service together: what a person gets is what a program gets."""

import io

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from spirit_jax.serving.routes.pages import PAGE
from tests.serving.page.browser import open_page, wait_until
from tests.serving.world import as_base64, make_sound, read_wav, serve, sound_file

pytestmark = pytest.mark.slow
NEW = 40


@pytest.fixture(scope="module")
def service():
    with serve(page=PAGE) as running:
        yield running


@pytest.fixture
def opened(browser, service):
    """The service's page, with an equal seed and length for every answer."""
    with open_page(browser, service.url) as page:
        expect(page.get_by_role("button", name="Generate")).to_be_enabled()
        page.get_by_text("Sampling and length").click()
        page.get_by_label("New seed").uncheck()
        page.locator("[name=seed]").fill("5")
        page.get_by_label("New tokens at most").fill(f"{NEW}")
        yield page
    service.wait_idle()


def generate(page, choice: str) -> None:
    page.get_by_label(choice, exact=True).check()
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#status")).to_have_text("The answer is complete.")


def by_program(service, prompt: list[dict], **options) -> dict:
    with service.client() as client:
        asked = {"prompt": prompt, "seed": 5, "max_new_tokens": NEW, **options}
        response = client.post("/v1/generate", json=asked)
    assert response.status_code == 200, response.text
    return response.json()


def upload(page, name: str, content: bytes) -> None:
    page.locator("#files").set_input_files({"name": name, "mimeType": "audio/wav", "buffer": content})


def test_a_typed_text_gives_speech_of_the_voice_that_plays(opened, service, tmp_path):
    opened.locator("#parts textarea").fill("the fox saw the hen")
    opened.get_by_label("Voice").select_option("2")
    generate(opened, "Continue in speech")
    sound = opened.locator(".sound audio")
    sound.evaluate("audio => audio.play()")
    wait_until(opened, "document.querySelector('.sound audio').currentTime > 0.1")
    with opened.expect_download() as download:
        opened.get_by_role("link", name="Download the sound").click()
    download.value.save_as(tmp_path / "answer.wav")
    heard, _ = soundfile.read(tmp_path / "answer.wav", dtype="int16")
    answer = by_program(service, [{"text": "the fox saw the hen"}], output="speech", speaker=2)
    whole = read_wav(answer["parts"][0]["audio"]).astype(int)
    np.testing.assert_allclose(heard, whole, atol=1)  # it came in sections, which round otherwise
    assert sound.evaluate("audio => audio.duration") == pytest.approx(len(heard) / 16_000, abs=0.01)
    expect(opened.locator("svg .units")).to_have_count(len(answer["parts"][0]["ids"]))


def test_an_uploaded_wav_is_transcribed(opened, service):
    content = sound_file(make_sound(1.0))
    opened.get_by_role("button", name="Remove").click()
    upload(opened, "said.wav", content)
    generate(opened, "Transcribe speech")
    answer = by_program(service, [{"audio": as_base64(content)}], task="transcribe")
    assert opened.locator(".answer .text").text_content() == answer["text"] != ""


def test_a_conversation_goes_on_with_text_and_speech_in_order(opened, service):
    opened.locator("#parts textarea").fill("the cow met the dog")
    generate(opened, "Continue in speech")
    opened.get_by_role("button", name="Add this answer to the prompt").click()
    opened.keyboard.type("then it")
    generate(opened, "Continue in text")
    spoken = by_program(service, [{"text": "the cow met the dog"}], output="speech")
    prompt = [{"text": "the cow met the dog"}, {"tokens": spoken["parts"][0]["string"]}, {"text": "then it"}]
    answer = by_program(service, prompt, output="text")
    assert opened.locator(".answer").first.text_content() == answer["text"]


def test_what_the_service_refuses_is_said_and_kept(opened, service):
    silent = io.BytesIO()
    soundfile.write(silent, np.zeros(16_000), 16_000, format="WAV")
    upload(opened, "silent.wav", silent.getvalue())
    opened.get_by_role("button", name="Generate").click()
    expect(opened.locator("#problem")).to_contain_text("silen")
    expect(opened.locator("#parts .part")).to_have_count(2)
    assert opened.locator(".turn").count() == 0

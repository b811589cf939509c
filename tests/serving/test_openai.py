"""The audio endpoints as the `openai` client calls them."""

import base64
import io
import json

import numpy as np
import openai
import pytest
import soundfile
import soxr

from spirit_jax.generation.inputs import Wav
from spirit_jax.serving.messages.sounds import to_pcm
from tests.serving.test_generation import check_error
from tests.serving.world import NAME, PATIENCE, SLOTS, make_lm, make_sound, sound_file

SOUND = make_sound(1.3)
HEARD = Wav(SOUND.astype(np.float32) / 32768, 16_000)
FILE = ("a.wav", sound_file(SOUND))
SAID = {"model": NAME, "input": "the fox saw", "voice": "default"}
SHORT = {"max_new_tokens": 60, "seed": 3, "temperature": 1.0}


@pytest.fixture
def asker(running):
    with openai.OpenAI(
        base_url=f"{running.url}/v1", api_key="none", timeout=PATIENCE, max_retries=0
    ) as found:
        yield found
    running.wait_idle()


def spoken(**options):
    """What Python says."""
    (output,) = make_lm().generate(["the fox saw"], task="speak", **{**SHORT, **options})
    return np.concatenate([part.wav for part in output.speech])


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "opus"])
def test_speech_is_a_file_of_the_format(asker, form):
    answer = asker.audio.speech.create(**SAID, response_format=form, extra_body=SHORT)
    samples, rate = soundfile.read(io.BytesIO(answer.content), dtype="int16")
    expected = to_pcm(spoken())
    if form in ("wav", "flac"):
        assert rate == 16_000
        np.testing.assert_allclose(samples, expected, atol=1)
    else:
        assert len(samples) / rate == pytest.approx(len(expected) / 16_000, abs=0.2)


def test_mp3_is_the_default_as_of_openai(asker):
    answer = asker.audio.speech.create(**SAID, extra_body=SHORT)
    assert answer.response.headers["content-type"] == "audio/mpeg"
    assert soundfile.info(io.BytesIO(answer.content)).format == "MP3"


def test_pcm_is_24_khz_and_comes_in_stretches(asker):
    with asker.audio.speech.with_streaming_response.create(
        **SAID, response_format="pcm", extra_body={**SHORT, "max_new_tokens": 200}
    ) as answer:
        assert answer.headers["content-type"] == "audio/pcm"
        chunks = list(answer.iter_bytes())
    samples = np.frombuffer(b"".join(chunks), "<i2")
    wav = spoken(max_new_tokens=200)
    np.testing.assert_allclose(samples, to_pcm(soxr.resample(wav, 16_000, 24_000)), atol=40)
    assert len(samples) == pytest.approx(len(wav) * 1.5, abs=2)
    assert len(chunks) > 1


@pytest.mark.parametrize("form", ["pcm", "wav"])
def test_speech_by_events(asker, form):
    whole = asker.audio.speech.create(**SAID, response_format=form, extra_body=SHORT).content
    with asker.audio.speech.with_streaming_response.create(
        **SAID, response_format=form, stream_format="sse", extra_body=SHORT
    ) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    *deltas, done = [json.loads(line) for line in lines]
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(event["audio"]) for event in deltas) == whole
    assert done["type"] == "speech.audio.done"
    assert done["usage"]["total_tokens"] == done["usage"]["input_tokens"] + done["usage"]["output_tokens"]
    assert done["finish"] in ("eos", "limit")


def test_a_voice_is_a_number_of_the_speakers(asker):
    one, other = (
        asker.audio.speech.create(**{**SAID, "voice": voice}, response_format="wav", extra_body=SHORT).content
        for voice in ("0", "1")
    )
    assert one != other
    samples, _ = soundfile.read(io.BytesIO(other), dtype="int16")
    np.testing.assert_allclose(samples, to_pcm(spoken(speaker=1)), atol=1)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"model": "tts-1"}, 404, "model_not_found"),
        ({"voice": "alloy"}, 400, "unknown_voice"),
        ({"voice": "99"}, 400, "invalid_value"),
        ({"response_format": "aac"}, 400, "unsupported_format"),
        ({"speed": 1.5}, 400, "unsupported_value"),
        ({"instructions": "whisper"}, 400, "unsupported_value"),
        ({"input": ""}, 400, "invalid_value"),
        ({"input": "a " * 300}, 400, "too_many_tokens"),
        ({"extra_body": {"pitch": 3}}, 400, "unknown_key"),
        ({"extra_body": {"input": 3}}, 400, "invalid_value"),
        ({"extra_body": {"stream_format": "video"}}, 400, "unsupported_format"),
    ],
)
def test_what_speech_cannot_honour_is_refused(asker, changes, status, code):
    with pytest.raises(openai.APIStatusError) as caught:
        asker.audio.speech.create(**{**SAID, **changes})
    check_error(caught.value.response, status, code)
    assert caught.value.code == code


def test_values_without_effect_are_taken(asker):
    plain = asker.audio.speech.create(**SAID, response_format="wav", extra_body=SHORT).content
    again = asker.audio.speech.create(
        **SAID, response_format="wav", speed=1.0, instructions="", extra_body=SHORT
    ).content
    assert again == plain


def written(**options):
    (output,) = make_lm().generate([HEARD], task="transcribe", **options)
    return output


def test_a_transcript_is_what_python_gives(asker):
    output = written()
    answer = asker.audio.transcriptions.create(file=FILE, model=NAME)
    assert answer.text == output.text
    assert answer.usage.output_tokens == len(output.ids)
    assert asker.audio.transcriptions.create(file=FILE, model=NAME, response_format="text") == output.text
    drawn = asker.audio.transcriptions.create(file=FILE, model=NAME, temperature=1.3, extra_body={"seed": 5})
    assert drawn.text == written(temperature=1.3, seed=5).text


def test_a_verbose_transcript_says_what_is_known(asker):
    answer = asker.audio.transcriptions.create(file=FILE, model=NAME, response_format="verbose_json")
    assert (answer.text, answer.language, answer.segments) == (written().text, "unknown", None)
    assert float(answer.duration) == pytest.approx(1.3)


def test_log_probabilities_of_a_transcript(asker):
    output = written()
    answer = asker.audio.transcriptions.create(file=FILE, model=NAME, include=["logprobs"])
    assert len(answer.logprobs) == len(output.ids)
    np.testing.assert_allclose([one.logprob for one in answer.logprobs], output.log_probs, atol=1e-4)


def test_a_transcript_by_events(asker):
    events = list(asker.audio.transcriptions.create(file=FILE, model=NAME, stream=True))
    *deltas, done = events
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text == written().text


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"model": "whisper-1"}, 404, "model_not_found"),
        ({"language": "en"}, 400, "unsupported_value"),
        ({"prompt": "names: Ada"}, 400, "unsupported_value"),
        ({"response_format": "srt"}, 400, "unsupported_format"),
        ({"response_format": "verbose_json", "stream": True}, 400, "unsupported_format"),
        ({"response_format": "verbose_json", "timestamp_granularities": ["word"]}, 400, "unsupported_value"),
        ({"response_format": "text", "include": ["logprobs"]}, 400, "unsupported_value"),
        ({"chunking_strategy": "auto"}, 400, "unsupported_value"),
        ({"temperature": -1}, 400, "invalid_value"),
        ({"extra_body": {"colour": "red"}}, 400, "unknown_key"),
        ({"file": ("a.wav", b"hello")}, 400, "unreadable"),
        ({"file": ("a.wav", sound_file(make_sound(5.0)))}, 413, "too_long"),
    ],
)
def test_what_a_transcript_cannot_honour_is_refused(asker, changes, status, code):
    with pytest.raises(openai.APIStatusError) as caught:
        asker.audio.transcriptions.create(**{"file": FILE, "model": NAME, **changes})
    check_error(caught.value.response, status, code)


def test_other_forms_are_refused(client):
    path = "/v1/audio/transcriptions"
    check_error(client.post(path, json={"file": "a"}), 400, "no_file")
    check_error(client.post(path, data={"file": "a", "model": NAME}), 400, "no_file")
    check_error(client.post(path, files={"file": FILE, "model": ("m", b"x")}), 400, "bad_request")
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    check_error(client.post(path, content=b"--y\r\nhello", headers=broken), 400, "bad_request")


def test_the_model_is_listed(asker):
    (model,) = asker.models.list().data
    assert model.id == NAME == asker.models.retrieve(NAME).id
    with pytest.raises(openai.NotFoundError):
        asker.models.retrieve("gpt-9")


def test_an_error_is_one_of_the_clients_errors(asker):
    with pytest.raises(openai.BadRequestError, match="speed must be 1"):
        asker.audio.speech.create(**SAID, speed=2.0)


def test_a_long_text_may_take_all_tokens_of_a_row(asker, monkeypatch, running):
    monkeypatch.setitem(running.service.lm.__dict__, "learned_eos", True)
    answer = asker.audio.speech.create(
        **SAID, response_format="wav", stream_format="sse", extra_body={"temperature": 1.0, "seed": 1}
    )
    done = json.loads(answer.content.decode().strip().rpartition("data: ")[2])
    assert done["finish"] == "eos" or done["usage"]["total_tokens"] == SLOTS

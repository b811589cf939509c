import base64
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import soundfile

from spirit_jax.generation.inputs import TokenString, Wav
from spirit_jax.serving.messages.sounds import to_pcm
from tests.serving.world import (
    as_base64,
    make_lm,
    make_sound,
    read_events,
    read_wav,
    serve,
    sound_file,
)

SOUND = make_sound(1.3)
AUDIO = {"audio": as_base64(sound_file(SOUND))}
HEARD = Wav(SOUND.astype(np.float32) / 32768, 16_000)
TOKENS = "[Hu3][Hu5][Hu3]"
WILD = {"temperature": 1.5, "top_p": 1.0}
# prompts and options of requests, with what Python takes for the same
CASES = {
    "text": ("the fox saw", ["the fox saw"], {"max_new_tokens": 20, "seed": 3, **WILD}),
    "stop": ("the fox", ["the fox"], {"max_new_tokens": 60, "seed": 1, "stop": ["e", "o"], **WILD}),
    "greedy": ([{"text": "the fox"}], ["the fox"], {"temperature": 0, "max_new_tokens": 9}),
    "speech": ("the fox", ["the fox"], {"output": "speech", "seed": 2, "max_new_tokens": 70, **WILD}),
    "voice": (
        "the fox",
        ["the fox"],
        {"task": "speak", "speaker": 1, "style": 4, "max_new_tokens": 40, "temperature": 1.0},
    ),
    "transcribe": ([AUDIO], [HEARD], {"task": "transcribe", "max_new_tokens": 15}),
    "mixed": (
        [{"text": "he said"}, AUDIO, {"tokens": TOKENS}, {"text": "and"}],
        ["he said", HEARD, TokenString(TOKENS), "and"],
        {"output": "arbitrary", "seed": 7, "max_new_tokens": 120, **WILD},
    ),
}
each_case = pytest.mark.parametrize("name", CASES)


def ask(client, prompt, **options):
    answer = client.post("/v1/generate", json={"prompt": prompt, **options})
    assert answer.status_code == 200, answer.text
    return answer.json()


def check_same(answer, output):
    """The answer says what `SpiritLM.generate` gives."""
    assert (answer["text"], answer["finish"]) == (output.text, output.finish.value)
    assert answer["tokens"] == len(output.ids)
    assert answer["log_prob"] == pytest.approx(float(output.log_probs.mean()), abs=1e-3)
    assert [part["kind"] for part in answer["parts"]] == [
        "speech" if part in output.speech else "text" for part in output.parts
    ]
    for part, expected in zip(answer["parts"], output.parts):
        assert part["ids"] == expected.ids.tolist()
        np.testing.assert_allclose(part["log_probs"], expected.log_probs, atol=1e-3)
        if part["kind"] == "text":
            assert part["text"] == expected.text
        else:
            assert (part["string"], part["rate"]) == (expected.tokens, 16_000)
            np.testing.assert_allclose(read_wav(part["audio"]), to_pcm(expected.wav), atol=1)


@each_case
def test_an_answer_is_what_python_gives(client, name):
    prompt, inputs, options = CASES[name]
    (output,) = make_lm().generate([inputs], **options)
    check_same(ask(client, prompt, **options), output)


def test_answers_do_not_depend_on_the_requests_beside_them(client):
    asked = [CASES[name] for name in ("text", "stop", "speech", "transcribe", "mixed")] + [
        ("the hen", ["the hen"], {"max_new_tokens": 30, "seed": seed, **WILD}) for seed in range(5)
    ]
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda case: ask(client, case[0], **case[2]), asked))
    for answer, (_, inputs, options) in zip(answers, asked):
        (output,) = make_lm().generate([inputs], **options)
        check_same(answer, output)
    assert len({answer["id"] for answer in answers}) == len(asked)


@each_case
def test_the_events_of_a_stream_together_are_the_answer(client, name):
    prompt, _, options = CASES[name]
    whole = ask(client, prompt, **options)
    body = {"prompt": prompt, "stream": True, **options}
    with client.stream("POST", "/v1/generate", json=body) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        events = list(read_events(response.iter_lines()))
    kind, done = events.pop()
    assert kind == "done"
    tokens = [data for kind, data in events if kind == "tokens"]
    texts, sounds = {}, {}
    for kind, data in events:
        if kind == "text":
            texts[data["part"]] = texts.get(data["part"], "") + data["text"]
        if kind == "sound":
            assert data["rate"] == 16_000
            pcm = np.frombuffer(base64.b64decode(data["pcm"]), "<i2")
            sounds[data["part"]] = np.append(sounds.get(data["part"], np.zeros(0, np.int16)), pcm)
    assert {kind for kind, _ in events} <= {"tokens", "text", "sound"}
    for number, (part, streamed) in enumerate(zip(whole["parts"], done["parts"], strict=True)):
        assert "audio" not in streamed
        if part["kind"] == "text":
            assert texts.pop(number) == part["text"] == streamed["text"]
        else:
            np.testing.assert_allclose(sounds.pop(number), read_wav(part["audio"]), atol=2)
            strings = [string for data in tokens for string in data["strings"]]
            assert part["string"] in "".join(strings)
    assert not texts
    assert not sounds
    assert sum(len(data["ids"]) for data in tokens) == whole["tokens"] == done["tokens"]
    assert all(len({len(values) for values in data.values()}) == 1 for data in tokens)
    assert {kind for data in tokens for kind in data["kinds"]} <= {"text", "tag", "units"}


def test_sound_comes_before_the_speech_has_ended(client):
    """On a busy machine several chunks of tokens may come as one event, so there are five tries."""
    body = {"prompt": "the fox", "output": "speech", "max_new_tokens": 200, "stream": True}

    def comes_early():
        with client.stream("POST", "/v1/generate", json=body) as response:
            kinds = [kind for kind, _ in read_events(response.iter_lines())]
        return "tokens" in kinds[kinds.index("sound") :]

    assert any(comes_early() for _ in range(5))


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_sound_files_of_every_kind_are_heard(client, form):
    audio = as_base64(sound_file(make_sound(1.0, rate=24_000), form, 24_000))
    assert ask(client, [{"audio": audio}], task="transcribe", max_new_tokens=3)["tokens"] <= 3


BAD = {
    "not JSON": (b"{", 400, "bad_json"),
    "empty": (b"", 400, "bad_json"),
    "a list": (b"[]", 400, "bad_json"),
    "deep": (b"[" * 200_000, 400, "bad_json"),
    "not Unicode": (b'{"prompt": "\xff"}', 400, "bad_json"),
    "no number": (b'{"prompt": "a", "temperature": NaN}', 400, "bad_json"),
    "a huge number": (b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}", 400, "bad_json"),
    "twice": (b'{"prompt": "a", "prompt": "b"}', 400, "invalid_value"),
    "half a character": (b'{"prompt": "\\ud800"}', 400, "invalid_value"),
    "no prompt": (b'{"task": "speak"}', 400, "invalid_value"),
    "a number": (b'{"prompt": 3}', 400, "invalid_value"),
    "no part": (b'{"prompt": []}', 400, "invalid_value"),
    "a text as part": (b'{"prompt": ["a"]}', 400, "invalid_value"),
    "two kinds": (b'{"prompt": [{"text": "a", "audio": "b"}]}', 400, "invalid_value"),
    "a path": (b'{"prompt": [{"audio": "/etc/passwd"}]}', 400, "invalid_value"),
    "no base64": (b'{"prompt": [{"audio": "%%%"}]}', 400, "invalid_value"),
    "an empty sound": (b'{"prompt": [{"audio": ""}]}', 400, "empty"),
    "no sound": (b'{"prompt": [{"audio": "aGVsbG8gd29ybGQ="}]}', 400, "unreadable"),
    "other tokens": (b'{"prompt": [{"tokens": "[Hu9999]"}]}', 400, "invalid_value"),
    "a typed tag": (b'{"prompt": "[Speech][Hu3]"}', 400, "invalid_value"),
    "unknown key": (b'{"prompt": "a", "n": 3}', 400, "invalid_value"),
    "unknown task": (b'{"prompt": "a", "task": "sing"}', 400, "invalid_value"),
    "a wrong type": (b'{"prompt": "a", "top_k": "3"}', 400, "invalid_value"),
    "out of range": (b'{"prompt": "a", "top_p": 7}', 400, "invalid_value"),
    "without effect": (b'{"prompt": "a", "speaker": 0}', 400, "invalid_value"),
    "no such voice": (b'{"prompt": "a", "task": "speak", "speaker": 99}', 400, "invalid_value"),
    "a wrong task": (b'{"prompt": "a", "task": "transcribe"}', 400, "invalid_value"),
    "too many tokens": (b'{"prompt": "a", "max_new_tokens": 100000}', 400, "too_many_tokens"),
    "a long text": (b'{"prompt": "' + b"a " * 2000 + b'"}', 400, "too_many_tokens"),
    "a very long text": (b'{"prompt": "' + b"a " * 200_000 + b'"}', 413, "prompt_too_long"),
    "many parts": (b'{"prompt": [' + b'{"text": "a"},' * 999 + b'{"text": "a"}]}', 413, "prompt_too_long"),
    "no flag": (b'{"prompt": "a", "stream": "yes"}', 400, "invalid_value"),
}


def check_error(answer, status, code):
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert answer.json()["error"].keys() == {"message", "type", "code"}
    assert 0 < len(answer.json()["error"]["message"]) < 1000
    assert "/tmp" not in answer.text


@pytest.mark.parametrize("what", BAD)
def test_a_bad_body_is_answered_with_what_is_wrong(client, what):
    content, status, code = BAD[what]
    check_error(client.post("/v1/generate", content=content, headers=JSON), status, code)


JSON = {"Content-Type": "application/json"}


def test_other_content_is_refused(client):
    for headers in (
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ):
        check_error(
            client.post("/v1/generate", content=b'{"prompt": "a"}', headers=headers), 415, "content_type"
        )
    check_error(client.get("/v1/generate"), 405, "method_not_allowed")
    check_error(client.post("/v1/other"), 404, "not_found")


def broken_sounds():
    wav = sound_file(make_sound(1.0))
    return {
        "truncated": wav[: len(wav) // 2],
        "silent": sound_file(np.zeros(16_000, np.int16)),
        "too_short": sound_file(make_sound(0.01)),
        "joined": wav + wav,
        "not_finite": float_wav(np.full(16_000, np.nan, np.float32)),
    }


def float_wav(samples):
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.mark.parametrize("reason", ["truncated", "silent", "too_short", "joined", "not_finite"])
def test_bad_sound_is_refused_with_its_reason(client, reason):
    body = {"prompt": [{"text": "a"}, {"audio": as_base64(broken_sounds()[reason])}]}
    check_error(client.post("/v1/generate", json=body), 400, reason)


def test_a_client_that_goes_away_in_mid_stream_frees_its_row():
    with serve(rows=1) as running, running.client() as client:
        body = {"prompt": "the fox", "output": "speech", "max_new_tokens": 240, "stream": True}
        for _ in range(3):
            with client.stream("POST", "/v1/generate", json=body) as response:
                assert next(response.iter_lines()) == "event: tokens"
            running.wait_idle()
        assert ask(client, "the fox", max_new_tokens=2)["tokens"] <= 2


def test_a_client_that_goes_away_before_its_answer_frees_its_row():
    with serve(rows=1) as running:
        held = threading.Event()
        running.service.engine._inbox.put(held.wait)  # the engine stands still
        body = {"prompt": "the fox", "max_new_tokens": 100}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{running.url}/v1/generate", json=body, timeout=0.5)
        running.wait_until(lambda: running.service.taken == 0, "the end of the request")
        held.set()
        running.wait_idle()

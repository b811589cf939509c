"""The page's modules by themselves, in the browser."""

import base64
import io
import json

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.slow


def call(page, module: str, body: str, given=None):
    """The value of `body`, a function's, with the module's exports as `m` and `given`."""
    wrapped = f"async (given) => {{ const m = await import('/page/{module}.js'); {body} }}"
    return page.evaluate(wrapped, given)


def test_events_are_the_same_wherever_they_are_cut(page):
    written = (
        'event: text\r\ndata: {"part": 0,\r\ndata: "text": "ä: b"}\r\n\r\n: ping\n\nevent: done\ndata:{}\n\n'
    )
    found = call(
        page,
        "events",
        """return Array.from(given, (_, cut) => {
            const parser = new m.EventParser();
            return [...parser.feed(given.slice(0, cut)), ...parser.feed(given.slice(cut))];
        });""",
        written,
    )
    expected = [{"name": "text", "data": {"part": 0, "text": "ä: b"}}, {"name": "done", "data": {}}]
    assert len(found) > 80
    assert all(events == expected for events in found), json.dumps(found)


def test_a_wav_holds_the_samples(page):
    given = [0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0]
    body = """const pieces = [m.toInt16(given.slice(0, 3)), m.toInt16(given.slice(3))];
        return m.toBase64(m.encodeWav(pieces, 44100));"""
    file = io.BytesIO(base64.b64decode(call(page, "sound/wav", body, given)))
    samples, rate = soundfile.read(file, dtype="int16")
    assert rate == 44_100
    np.testing.assert_array_equal(samples, [0, 16384, -16383, 32767, -32767, 32767, -32767])


def test_pcm_is_little_endian(page):
    samples = np.array([1, -2, 258, -32768, 32767], "<i2")
    body = "return [...m.decodePcm(given)];"
    assert call(page, "sound/wav", body, base64.b64encode(samples.tobytes()).decode()) == samples.tolist()


def test_a_level_is_full_at_full_scale_and_none_in_silence(page):
    body = "return [1, 0.03162, 0.001, 0].map((x) => m.levelOf(new Float32Array(2048).fill(x)));"
    assert call(page, "sound/recorder", body) == pytest.approx([1, 0.5, 0, 0], abs=1e-3)


TOKENS = [
    {"id": n, "string": string, "kind": kind}
    for n, (string, kind) in enumerate(
        [(" hi", "text"), ("[Speech]", "tag"), ("[Hu1]", "units"), ("[Hu2]", "units"), ("[Text]", "tag")]
        + [(" so", "text"), ("[Speech]", "tag"), ("[St1]", "style"), ("[Pi1]", "pitch"), ("[Hu3]", "units")]
        + [("[Pi2]", "pitch"), ("[Hu4]", "units"), ("[Hu5]", "units")]
    )
]


def test_runs_of_speech_get_the_sound_of_their_part(page):
    """A run that is no part, since it is too short, has no sound."""
    parts = [{"kind": "text", "ids": [0]}, {"kind": "text", "ids": [5]}]
    parts += [{"kind": "speech", "ids": [7, 8, 9, 10, 11, 12]}]
    body = "return [...m.soundsOfRuns(given.tokens, given.parts, [0, 0, 1.5])];"
    assert call(page, "timeline/layout", body, {"tokens": TOKENS, "parts": parts}) == [[7, 1.5]]


def test_tokens_are_laid_out_in_time(page):
    body = "return m.layOut(given, 25, 10, new Map([[7, 0.24]]));"
    laid = call(page, "timeline/layout", body, TOKENS)
    boxes, (first, second) = laid["boxes"], laid["spans"]
    assert [box["lane"] for box in boxes] == [
        {"tag": "text"}.get(token["kind"], token["kind"]) for token in TOKENS
    ]
    # without a sound, a unit lasts 40 ms, 10 px
    assert (first["seconds"], first["width"]) == pytest.approx((0.08, 20))
    # with one, three units share its 240 ms, at the same scale
    assert (second["begin"], second["seconds"], second["width"]) == pytest.approx((0.08, 0.24, 60))
    assert [boxes[n]["seconds"] for n in (9, 11, 12)] == pytest.approx([0.08, 0.16, 0.24])
    # a code of another stream holds until the next of its kind
    pitches, style = (boxes[8], boxes[10]), boxes[7]
    assert [box["width"] for box in pitches] == pytest.approx([20, 40])
    assert style["width"] == pytest.approx(60)
    # boxes of a lane do not overlap, and none is beyond the end
    for lane in ("text", "units", "pitch"):
        ends = [(box["x"], box["x"] + box["width"]) for box in boxes if box["lane"] == lane]
        assert all(end <= begin + 1e-6 for (_, end), (begin, _) in zip(ends, ends[1:]))
    assert max(box["x"] + box["width"] for box in boxes) == pytest.approx(laid["width"])
    assert [box["seconds"] for box in boxes if box["lane"] == "text"] == [None] * 5


def test_marks_count_the_seconds_of_the_whole_sound_and_places_match_them(page):
    body = """const { spans, ticks } = m.layOut(given, 25, 10, new Map([[2, 1.1], [7, 2]]));
        return { spans, ticks, places: ticks.map((one) => m.placeOf(spans, parseFloat(one.label))) };"""
    laid = call(page, "timeline/layout", body, TOKENS)
    assert [tick["label"] for tick in laid["ticks"]] == [f"{n} s" for n in (0, 0.5, 1, 1.5, 2, 2.5, 3)]
    assert laid["places"] == pytest.approx([tick["x"] for tick in laid["ticks"]])
    first, second = laid["spans"]
    assert laid["ticks"][3]["x"] == pytest.approx(second["x"] + 0.4 * 250)


def test_pieces_of_a_run_without_any_unit_are_drawn(page):
    tokens = [{"id": 1, "string": "[Pi1]", "kind": "pitch"}, {"id": 2, "string": "[Pi2]", "kind": "pitch"}]
    laid = call(page, "timeline/layout", "return m.layOut(given, 25, 10);", tokens)
    assert all(box["width"] > 0 for box in laid["boxes"])

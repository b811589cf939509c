import argparse

import numpy as np
import pytest
import soundfile

from spirit_jax.codec_training.fit_codec import add_arguments, fit_codec, run
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_jsonl
from spirit_jax.speech import segments
from spirit_jax.speech.audio import BadAudio
from spirit_jax.speech.codec_folder import load_codec, save_codec
from spirit_jax.speech.decoders.mel_codebook import mean_runs
from spirit_jax.speech.encoders import f0 as pitch
from spirit_jax.speech.encoders.mfcc_units import MfccUnits
from spirit_jax.speech.weights.table import Table
from tests.speech.synthetic import babble
from tests.speech_codes import make_speech, make_spoken, make_streams

VOICES = [{"hz": 100, "tract": 1.0}, {"hz": 190, "tract": 1.15}]


@pytest.fixture(scope="module")
def corpus():
    return [
        babble(3.0, seed=i, hz=VOICES[i % 2]["hz"] + 3 * i, tract=VOICES[i % 2]["tract"]) for i in range(24)
    ]


@pytest.fixture(scope="module")
def codec(corpus):
    return fit([wav for wav, _ in corpus], units=16, expressive=True, seed=0)


def streams(speech):
    return list(speech.codes.values())


def fit(wavs, units=16, expressive=False, seed=0):
    return fit_codec(wavs, units, expressive, seed)


def test_units_name_the_phone_and_not_the_voice(codec):
    test = [babble(3.0, seed=100 + i // 2, **VOICES[i % 2]) for i in range(8)]
    units = codec.encode_batch([wav for wav, _ in test])
    pairs = [
        (unit, phone) for speech, (_, phones) in zip(units, test) for unit, phone in zip(speech.units, phones)
    ]
    table = np.zeros((16, 6))
    np.add.at(table, tuple(np.array(pairs).T), 1)
    assert table.max(1).sum() / table.sum() > 0.75
    same = np.mean([(units[i].units == units[i + 1].units).mean() for i in range(0, 8, 2)])
    other = np.mean([(units[i].units == units[(i + 3) % 8].units).mean() for i in range(0, 8, 2)])
    assert same > 0.5 > 2 * other


def say(seed, **voice):
    """Two words of three phones and a pause, several times: the sound and the words with their times."""
    rng, words, parts, at = np.random.default_rng(seed), [], [], 0.0
    for _ in range(6):
        word = rng.integers(0, 8)
        parts += [babble(0.36, seed=1000 + word, **voice)[0], 0.003 * rng.normal(size=3200)]
        words.append((f"w{word}", at, at + 0.36))
        at += 0.56
    return np.concatenate(parts).astype(np.float32), words


def agreement(codec):
    """Share of the units that a word of another voice has as well."""
    wavs = [say(seed, **voice)[0] for seed in range(100, 108) for voice in VOICES]
    units = [speech.units for speech in codec.encode_batch(wavs)]
    return np.mean([(a == b).mean() for a, b in zip(units[::2], units[1::2])])


def test_units_that_tell_words_apart_differ_less_between_voices():
    said = [say(seed, **VOICES[seed % 2]) for seed in range(40)]
    wavs, words = zip(*said)
    plain, told = fit(wavs), fit_codec(wavs, 16, False, 0, words)
    assert agreement(told) > agreement(plain) + 0.05
    assert told.fingerprint != plain.fingerprint
    for wav, speech in zip(wavs[:5], told.encode_batch(wavs[:5])):
        assert len(speech.units) == len(wav) // 640
        np.testing.assert_array_equal(told.encode_batch([wav])[0].units, speech.units)


def test_units_that_tell_words_apart_are_stored(tmp_path):
    wavs, words = zip(*(say(seed) for seed in range(12)))
    codec = fit_codec(wavs, 16, True, 0, words)
    save_codec(codec, tmp_path / "codec")
    loaded = load_codec(tmp_path / "codec")
    assert loaded.fingerprint == codec.fingerprint
    for a, b in zip(codec.encode_batch(wavs[:2]), loaded.encode_batch(wavs[:2])):
        np.testing.assert_array_equal(a.units, b.units)
    assert np.abs(loaded.decode(a)).max() > 0.01


def test_numbers_of_pitch_and_style_codes_are_chosen(corpus):
    codec = fit_codec([wav for wav, _ in corpus[:8]], 8, True, 0, pitches=5, styles=3)
    assert codec.streams == make_streams(8, 5, 3)


@pytest.mark.parametrize("numbers", [["24"], ["24", "1"], ["24", "8", "2"]])
def test_other_numbers_after_expressive_are_refused(tmp_path, numbers):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = ["--audio", "a", "--out", str(tmp_path / "codec"), "--expressive", *numbers]
    with pytest.raises(UserError, match="--expressive .* needs two numbers"):
        run(parser.parse_args(given))


def test_too_few_words_with_times_are_refused():
    wavs, words = zip(*(say(seed) for seed in range(3)))
    with pytest.raises(UserError, match=r"parts of words with times = 1: must be more than 32"):
        fit_codec(wavs, 16, False, 0, [[], [], []])
    with pytest.raises(UserError, match=r"make align"):
        fit_codec(wavs, 16, False, 0, [words[0][:1], None, None])


def fit_by_command(folder, rows):
    """The fingerprint of a codec with `--words` of these rows."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    write_jsonl(folder / "manifest.jsonl", rows)
    given = [
        "--audio",
        str(folder / "manifest.jsonl"),
        "--out",
        str(folder / "codec"),
        "--units",
        "16",
        "--words",
    ]
    assert run(parser.parse_args(given)) == 0
    return load_codec(folder / "codec").fingerprint


def test_units_that_tell_words_apart_are_of_recordings_with_word_times_alone(tmp_path):
    rows = []
    for seed in range(14):
        wav, words = say(seed)
        soundfile.write(tmp_path / f"{seed}.wav", wav, 16_000)
        text = " ".join(word for word, _, _ in words)
        rows.append(
            {"id": f"{seed}", "audio": f"{seed}.wav", "text": text, "words": words if seed < 12 else None}
        )
    assert fit_by_command(tmp_path, rows) == fit_by_command(tmp_path, rows[:12])
    with pytest.raises(UserError, match="has no training recordings with word times"):
        fit_by_command(tmp_path, rows[12:])


def test_counts_of_each_stream(codec):
    for seconds in (0.08, 0.5, 2.44, 3.0):
        (speech,) = codec.encode_batch([babble(seconds, seed=5)[0]])
        units = round(seconds * 16_000) // 640
        assert [len(stream) for stream in streams(speech)] == [units, -(-units // 2), -(-units // 25)]
    assert codec.streams == make_streams(16, 64, codec.streams[2].size)
    assert 1 <= codec.streams[2].size <= 100


def test_a_wav_gives_the_same_units_alone_and_among_others(codec):
    wavs = [
        babble(seconds, seed=i, hz=90 + 9 * i)[0]
        for i, seconds in enumerate((0.3, 5.0, 1.71, 0.08, 21.0, 2.2))
    ]
    for wav, speech in zip(wavs, codec.encode_batch(wavs)):
        for alone, together in zip(streams(codec.encode_batch([wav])[0]), streams(speech)):
            np.testing.assert_array_equal(alone, together)


def test_loudness_does_not_matter(codec):
    wav = babble(2.0, seed=7)[0]
    loud, soft = codec.encode_batch([wav, 0.1 * wav])
    assert (loud.units == soft.units).mean() > 0.97


def test_a_code_change_costs(codec, corpus):
    free = MfccUnits(Table({**codec.encoders[0].mfcc_units, "change_cost": np.float32(0)}))
    eager = codec.replace_encoder(free)
    wavs = [wav for wav, _ in corpus[:6]]
    changes = [
        sum(np.count_nonzero(np.diff(speech.units)) for speech in c.encode_batch(wavs))
        for c in (codec, eager)
    ]
    assert changes[0] < changes[1]


def test_pitch_codes_follow_the_pitch_and_stay_put_when_it_does(codec):
    rising = np.concatenate([babble(0.6, seed=1, hz=hz)[0] for hz in (100, 120, 145, 175)])
    steady, up = codec.encode_batch([babble(2.4, seed=1, hz=120)[0], rising])
    assert np.count_nonzero(np.diff(steady.codes["pitch"])) <= 2
    assert (
        np.corrcoef(
            np.arange(len(up.codes["pitch"])), codec.encoders[1].contour_pitch["octaves"][up.codes["pitch"]]
        )[0, 1]
        > 0.85
    )


def test_decoded_speech_is_heard_as_its_units(codec, corpus):
    speech = codec.encode_batch([wav for wav, _ in corpus[:4]])
    wavs = [codec.decode(one) for one in speech]
    assert [len(wav) for wav in wavs] == [640 * len(one.units) for one in speech]
    again = codec.encode_batch(wavs)
    assert np.mean([(a.units == b.units).mean() for a, b in zip(speech, again)]) > 0.85


def test_decoded_speech_keeps_its_melody_and_voice_pitch(codec):
    low, high = (
        np.concatenate([babble(0.6, seed=1, hz=hz)[0] for hz in rise])
        for rise in ((90, 105, 125, 145), (180, 200, 225, 250))
    )
    heard = []
    for wav in (low, high):
        (asked,), (made,) = (
            pitch.track_f0([wav]),
            pitch.track_f0([codec.decode(codec.encode_batch([wav])[0])]),
        )
        both = (asked[: len(made)] > 0) & (made[: len(asked)] > 0)
        assert np.corrcoef(asked[: len(made)][both], made[: len(asked)][both])[0, 1] > 0.7
        heard.append(np.median(made[made > 0]))
    assert heard[1] > 1.4 * heard[0]


def test_speech_without_pitch_codes_is_even(codec):
    (speech,) = codec.encode_batch([babble(2.0, seed=4, hz=150)[0]])
    (f0,) = pitch.track_f0([codec.decode(make_speech(speech.units))])
    assert np.ptp(np.percentile(f0[f0 > 0], [10, 90])) < 0.05 * np.median(f0[f0 > 0])


def test_decode_of_nothing_and_of_unknown_units(codec):
    assert len(codec.decode(make_speech(np.zeros(0, np.int32)))) == 0
    with pytest.raises(UserError, match="units code = 16"):
        codec.decode(make_speech(np.array([3, 16])))


def test_spoken_units_last_as_long_as_they_do_on_average(codec, corpus):
    assert codec.decoder.mel_codebook["frames"].min() >= 1
    encoded = codec.encode_batch([wav for wav, _ in corpus])
    for speech in encoded[:4]:
        runs = np.flatnonzero(np.diff(speech.units, prepend=-1))
        spoken = make_spoken(
            speech.units[runs], speech.codes["pitch"][runs // 2], speech.codes["style"][runs // 25]
        )
        wav = codec.decode(spoken)
        np.testing.assert_allclose(
            len(wav) / 640, codec.decoder.mel_codebook["frames"][spoken.units].sum(), atol=0.5001
        )
    lasting = sum(len(speech.units) for speech in encoded)
    predicted = sum(
        codec.decoder.mel_codebook["frames"][speech.units[np.diff(speech.units, prepend=-1) != 0]].sum()
        for speech in encoded
    )
    assert abs(predicted / lasting - 1) < 0.01


def test_mean_runs_end_with_their_utterance():
    np.testing.assert_allclose(mean_runs([np.array([1, 1, 1, 0]), np.array([0, 1])], 3), [1, 2, 1])


def test_one_voice(codec):
    with pytest.raises(UserError, match="speaker = 1"):
        codec.decode(make_speech(np.array([3])), speaker=1)
    with pytest.raises(UserError, match="style = 2"):
        codec.decode(make_spoken(np.array([3])), style=2)


def test_long_audio_is_cut_in_pieces(codec, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_SECONDS", 2)
    wav = babble(5.05, seed=3)[0]
    (whole,) = codec.encode_batch([wav[: 4 * 16_000 + 1000]])
    parts = codec.encode_batch([wav[:32_000], wav[32_000:64_000]])
    for i, stream in enumerate(streams(whole)):  # the last 1000 samples are dropped
        np.testing.assert_array_equal(stream, np.concatenate([streams(part)[i] for part in parts]))
    assert len(codec.encode_batch([wav])[0].units) == 50 + 50 + 26


def test_short_silent_and_broken_sounds(codec):
    silence, short = codec.encode_batch([np.zeros(16_000, np.float32), np.ones(1279, np.float32)])
    assert (len(silence.units), len(short.units)) == (25, 0)
    with pytest.raises(BadAudio, match="not_finite"):
        codec.encode_batch([np.full(16_000, np.nan, np.float32)])


def test_training_repeats_itself(codec, corpus):
    again = fit((wav for wav, _ in corpus), units=16, expressive=True, seed=0)
    assert again.fingerprint == codec.fingerprint
    other = fit((wav for wav, _ in corpus), units=16, expressive=True, seed=1)
    assert other.fingerprint != codec.fingerprint


def test_training_without_enough_audio_is_told(corpus):
    with pytest.raises(UserError, match="k-means points"):
        fit([corpus[0][0]], units=100)
    with pytest.raises(UserError, match="training audio"):
        fit([])


def test_a_saved_codec_is_the_same(codec, tmp_path):
    save_codec(codec, tmp_path / "codec")
    loaded = load_codec(tmp_path / "codec")
    assert loaded.fingerprint == codec.fingerprint
    wav = babble(1.0, seed=9)[0]
    for a, b in zip(streams(codec.encode_batch([wav])[0]), streams(loaded.encode_batch([wav])[0])):
        np.testing.assert_array_equal(a, b)


def test_a_phonetic_codec_has_no_other_streams(corpus, tmp_path):
    plain = fit([wav for wav, _ in corpus[:6]], units=8)
    (speech,) = plain.encode_batch([corpus[0][0]])
    assert speech.codes.keys() == {"units"}
    assert plain.streams == make_streams(8)

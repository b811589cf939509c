"""Sound in blocks: the same as at once, and refused for the same reasons."""

import numpy as np
import pytest
import soundfile

from spirit_jax.core.sound_part import Part
from spirit_jax.speech import audio
from spirit_jax.speech.audio import BadAudio
from tests.speech.sounds import FORMATS, encoded, sweep


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_stream_is_the_sound_in_blocks(tmp_path, suffix, rate):
    path = tmp_path / f"a.{suffix}"
    if suffix == "opus" and rate == 44_100:
        pytest.skip("opus has no such rate")
    path.write_bytes(encoded(suffix, sweep(13.0, rate), rate))
    for part in (None, Part(2.5, 6.25)):
        blocks = list(audio.stream(path, part))
        whole = audio.load(path, corpus=True, part=part)
        assert max(map(len, blocks)) < 200_000 < len(whole) + 150_000
        streamed = np.concatenate(blocks)
        assert abs(len(streamed) - len(whole)) <= 1
        n = min(len(streamed), len(whole))
        np.testing.assert_allclose(streamed[:n], whole[:n], atol=2e-4)
        assert audio.stated_seconds(path, part) == pytest.approx(len(whole) / 16_000, abs=0.05)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_stream_of_a_damaged_sound_ends_with_its_reason(tmp_path, suffix):
    whole = encoded(suffix, sweep(20.0))
    (tmp_path / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / f"joined.{suffix}").write_bytes(whole + encoded(suffix, sweep(3.0)))
    for name, reason in (("cut", "truncated"), ("joined", "joined"), ("gone", "missing")):
        with pytest.raises(BadAudio) as error:
            for _ in audio.stream(tmp_path / f"{name}.{suffix}"):
                pass
        assert error.value.reason == reason


def test_what_a_stream_of_a_corpus_refuses(tmp_path):
    wav = np.repeat(sweep(3.0)[:, None], 4, axis=1)
    soundfile.write(tmp_path / "four.wav", wav, 16_000)
    wav[30_000, 0] = np.nan
    soundfile.write(tmp_path / "nan.wav", wav[:, 0], 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "low.wav", wav[:, 1], 4_000)
    for name, reason in (("four", "too_many_channels"), ("nan", "not_finite"), ("low", "low_rate")):
        with pytest.raises(BadAudio, match=reason):
            list(audio.stream(tmp_path / f"{name}.wav"))
    assert len(np.concatenate(list(audio.stream(tmp_path / "four.wav", Part(channel=2))))) == 48_000

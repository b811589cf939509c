import numpy as np
import pytest
import soundfile
import soxr

from spirit_jax.core.errors import UserError
from spirit_jax.speech import audio
from spirit_jax.speech.audio import BadAudio
from tests.speech.synthetic import tone


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (8_000, 2), (48_000, 1)])
def test_any_format_gives_the_same_mono_sound(tmp_path, suffix, rate, channels):
    original = tone(220, 1.0)
    sound = soxr.resample(original, 16_000, rate)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.stack([sound] * channels, axis=1), rate)
    wav = audio.load(path)
    assert wav.dtype == np.float32
    assert abs(len(wav) - 16_000) <= 2500  # mp3 pads whole frames
    middle = wav[6000:10000] * np.hanning(4000)
    assert np.fft.rfft(middle, 16_000).__abs__().argmax() == pytest.approx(220, abs=2)
    assert np.sqrt(np.mean(wav[4000:12000] ** 2)) == pytest.approx(np.sqrt(np.mean(original**2)), rel=0.05)


def test_stereo_is_averaged(tmp_path):
    left, right = tone(200, 0.5), tone(300, 0.5)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(audio.load(tmp_path / "a.wav"), (left + right) / 2, atol=1e-6)


def test_max_seconds_bounds_what_is_read(tmp_path):
    audio.save(tmp_path / "a.wav", tone(220, 2.0))
    assert len(audio.load(tmp_path / "a.wav", max_seconds=0.5)) == 8000


def test_saved_sound_comes_back_clipped(tmp_path):
    wav = 5 * tone(220, 0.5)
    audio.save(tmp_path / "a.wav", wav)
    np.testing.assert_allclose(audio.load(tmp_path / "a.wav"), np.clip(wav, -1, 1), atol=1e-4)


def write_bad(path, kind):
    good = tone(220, 1.0)
    if kind == "missing":
        return
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "unreadable":
        path.write_bytes(b"RIFF....not a sound at all" * 40)
    elif kind == "silent":
        soundfile.write(path, np.zeros(16_000), 16_000)
    elif kind == "too_short":
        soundfile.write(path, good[:800], 16_000)
    elif kind == "not_finite":
        soundfile.write(path, np.where(np.arange(16_000) == 99, np.nan, good), 16_000, subtype="FLOAT")
    elif kind == "too_many_channels":
        soundfile.write(path, np.stack([good] * 8, 1), 16_000)
    elif kind == "low_rate":
        soundfile.write(path, good, 1_000)
    elif kind == "too_loud":
        soundfile.write(path, 1e30 * good, 16_000, subtype="FLOAT")
    elif kind == "truncated":
        soundfile.write(path, good, 16_000)
        path.write_bytes(path.read_bytes()[:20_000])


BAD = [
    "missing",
    "empty",
    "unreadable",
    "truncated",
    "silent",
    "too_short",
    "not_finite",
    "too_loud",
    "too_many_channels",
    "low_rate",
]


@pytest.mark.parametrize("reason", BAD)
def test_bad_audio_is_told_by_its_reason(tmp_path, reason):
    write_bad(tmp_path / "a.wav", reason)
    with pytest.raises(BadAudio) as caught:
        audio.load(tmp_path / "a.wav", corpus=True)
    assert caught.value.reason == reason
    assert caught.value.detail


@pytest.mark.parametrize("kind", ["too_many_channels", "low_rate"])
def test_what_is_nothing_to_learn_from_can_be_heard(tmp_path, kind):
    write_bad(tmp_path / "a.wav", kind)
    rate = soundfile.info(tmp_path / "a.wav").samplerate
    wav = audio.load(tmp_path / "a.wav")
    assert len(wav) == 16_000 * 16_000 // rate
    assert np.fft.rfft(wav[:16_000] * np.hanning(16_000)).__abs__().argmax() == pytest.approx(
        220 * rate / 16_000, abs=2
    )


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "DOUBLE", "ULAW", "IMA_ADPCM", "GSM610"])
def test_any_depth_of_wav(tmp_path, subtype):
    soundfile.write(tmp_path / "a.wav", soxr.resample(tone(220, 1.0), 16_000, 8_000), 8_000, subtype=subtype)
    # compressed ones fill their last block
    assert len(audio.load(tmp_path / "a.wav")) == pytest.approx(16_000, abs=1200)
    assert len(audio.load(tmp_path / "a.wav", max_seconds=0.5)) == 8_000


def test_a_wav_written_to_a_pipe_is_whole(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(220, 1.0), 16_000)
    piped = bytearray((tmp_path / "a.wav").read_bytes())
    piped[4:8] = piped[40:44] = b"\xff" * 4  # as ffmpeg does
    (tmp_path / "a.wav").write_bytes(piped)
    assert len(audio.load(tmp_path / "a.wav")) == 16_000


def test_a_header_without_samples_is_empty(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16_000)
    with pytest.raises(BadAudio, match="empty"):
        audio.load(tmp_path / "a.wav")


def test_not_finite_is_told_at_other_rates_too(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(44_100, np.inf), 44_100, subtype="FLOAT")
    with pytest.raises(BadAudio, match="not_finite"):
        audio.load(tmp_path / "a.wav")


def test_mix_down():
    assert np.array_equal(
        audio.mix_down(np.array([[0.0, 1.0], [1.0, 0.0]])), np.array([0.5, 0.5], np.float32)
    )
    assert audio.mix_down(np.zeros(3, np.float16)).dtype == np.float32
    assert audio.mix_down(np.zeros((2, 0))).shape == (0,)
    for shape in ((1, 1, 3), (3, 2), (0, 3)):
        with pytest.raises(UserError, match="channels, samples"):
            audio.mix_down(np.zeros(shape))
    with pytest.raises(UserError, match="int16: must be float"):
        audio.mix_down(np.zeros(3, np.int16))


def test_normalize():
    wav = audio.normalize(3 + 0.01 * np.random.default_rng(0).normal(0, 0.1, 5_000), 1e-7)
    assert abs(wav.mean()) < 1e-3
    assert wav.std() == pytest.approx(1, abs=0.06)  # the epsilon counts for so soft a wav
    assert audio.normalize(np.zeros(0, np.float32), 1e-7).shape == (0,)
    assert np.array_equal(audio.normalize(np.full(9, 2.0, np.float32), 1e-7), np.zeros(9, np.float32))

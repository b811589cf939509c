import io
import tarfile

import fsspec
import numpy as np
import pytest
import soundfile
import soxr

from spirit_jax.core.errors import UserError
from spirit_jax.core.sound_part import Part
from spirit_jax.speech import audio
from spirit_jax.speech.audio import BadAudio
from tests.speech.sounds import FORMATS, encoded, state_length, sweep, without_header, wrap_in_ogg
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
    whole = audio.load(tmp_path / "a.wav")
    assert len(audio.load(tmp_path / "a.wav", max_seconds=0.5)) == 8_000
    part = audio.load(tmp_path / "a.wav", part=(0.25, 0.5))
    np.testing.assert_allclose(part[200:-200], whole[4_000:12_000][200:-200], atol=1e-3)


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


@pytest.mark.parametrize("rate", [16_000, 44_100, 96_000])
@pytest.mark.parametrize("level", [0.5, -0.01])
def test_a_constant_is_silent_at_any_rate(tmp_path, rate, level):
    soundfile.write(tmp_path / "a.wav", np.full(rate, level), rate)
    with pytest.raises(BadAudio, match="silent"):
        audio.load(tmp_path / "a.wav")


def test_a_quiet_voice_on_a_constant_is_sound(tmp_path):
    audio.save(tmp_path / "a.wav", 0.5 + 0.001 * tone(220, 1.0))
    assert len(audio.load(tmp_path / "a.wav")) == 16_000


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


def is_bad(path, content, **options):
    """The reason for which a file of this content is refused; None if it is read."""
    path.write_bytes(content)
    try:
        audio.load(path, **options)
    except BadAudio as error:
        return error.reason
    return None


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_sound_that_is_cut_or_joined_is_refused(tmp_path, suffix, rate):
    whole, more = encoded(suffix, sweep(5.0, rate), rate), encoded(suffix, sweep(3.0, rate), rate)
    path = tmp_path / f"a.{suffix}"
    assert is_bad(path, whole) is None
    for share in (0.3, 0.5, 0.9):
        assert is_bad(path, whole[: int(share * len(whole))]) == "truncated"
    for first, second in ((whole, whole), (whole, more), (more, whole)):
        assert is_bad(path, first + second) == "joined"


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_tags_around_a_sound_are_no_sound(tmp_path, suffix):
    whole = encoded(suffix, sweep(2.0))
    before = b"" if suffix == "wav" else b"ID3\x04\x00\x00\x00\x00\x02\x00" + b"\xff\xfb" * 128
    assert is_bad(tmp_path / f"a.{suffix}", before + whole + b"TAG" + b"some title".ljust(125, b"\0")) is None
    assert is_bad(tmp_path / f"a.{suffix}", before + whole[: len(whole) // 2]) == "truncated"


@pytest.mark.parametrize("stated", [40_000, 120_000])
def test_a_flac_that_states_another_length_is_refused(tmp_path, stated):
    flac = state_length(encoded("flac", sweep(5.0)), stated)
    assert is_bad(tmp_path / "a.flac", flac) == ("joined" if stated < 80_000 else "truncated")


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path, rate):
    whole = encoded("flac", sweep(3.0, rate), rate)
    (tmp_path / "a.flac").write_bytes(state_length(whole, 0))
    (tmp_path / "b.flac").write_bytes(whole)
    unknown, known = audio.load(tmp_path / "a.flac"), audio.load(tmp_path / "b.flac")
    np.testing.assert_array_equal(unknown, known)
    assert len(known) == 48_000
    for options in ({"max_seconds": 1.0}, {"part": (1.0, 1.0)}, {"part": (2.5, None)}):
        np.testing.assert_array_equal(
            audio.load(tmp_path / "a.flac", **options), audio.load(tmp_path / "b.flac", **options)
        )


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_part_is_the_sound_between_its_times(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(encoded(suffix, sweep(6.0)))
    whole = audio.load(path)
    exact = suffix in ("wav", "flac")
    for begin, length in ((0.0, 2.0), (2.0, 2.0), (4.0, None), (1.2345, 0.5)):
        part = audio.load(path, part=(begin, length))
        first = round(begin * 16_000)
        expected = whole[first:][: len(part)]
        assert len(part) == (round(length * 16_000) if length else len(whole) - first)
        np.testing.assert_allclose(part, expected, atol=0 if exact else 0.02)
    assert len(audio.load(path, part=(1.0, 4.0), max_seconds=0.5)) == 8_000
    assert len(audio.load(path, part=(5.0, None), max_seconds=100.0)) == len(whole) - 80_000
    assert len(audio.load(path, max_seconds=100.0)) == len(whole)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("part", [(5.0, 2.0), (6.5, 1.0), (60.0, None), (0.0, 6.5)])
def test_a_part_beyond_the_sound_is_refused(tmp_path, suffix, part):
    assert is_bad(tmp_path / f"a.{suffix}", encoded(suffix, sweep(6.0)), part=part) == "part_beyond_sound"


def test_parts_of_a_long_recording_are_not_decoded_from_its_beginning(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    path.write_bytes(encoded("flac", sweep(60.0)))
    decoded, read = 0, soundfile.SoundFile.read

    def counted(*args, **options):
        nonlocal decoded
        samples = read(*args, **options)
        decoded += len(samples)
        return samples

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    for begin in range(0, 60, 2):
        audio.load(path, part=(float(begin), 2.0))
    assert decoded <= 61 * 16_000


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_seconds_are_known_before_they_are_decoded(tmp_path, suffix):
    path, admitted = tmp_path / f"a.{suffix}", []
    path.write_bytes(encoded(suffix, sweep(6.0)))
    for options in ({}, {"part": (1.0, 2.0)}, {"part": (4.0, None)}, {"max_seconds": 0.5}):
        audio.load(path, admit=admitted.append, **options)
    assert admitted == pytest.approx([6.0, 2.0, 2.0, 0.5], abs=0.25)


@pytest.mark.parametrize("suffix", FORMATS)
def test_sound_beyond_a_limit_is_refused(tmp_path, suffix):
    path, whole = tmp_path / f"a.{suffix}", encoded(suffix, sweep(6.0))
    assert is_bad(path, whole, longest_s=6.1) is None
    assert is_bad(path, whole, longest_s=5.9) == "too_long"
    assert is_bad(path, whole, longest_s=1.0, max_seconds=0.9) is None


def test_a_limit_holds_for_a_sound_that_does_not_say_its_length(tmp_path, monkeypatch):
    path, whole, decoded = tmp_path / "a.flac", encoded("flac", sweep(60.0)), 0
    read = soundfile.SoundFile.read

    def count(self, frames=-1, *args, **named):
        nonlocal decoded
        decoded += frames
        return read(self, frames, *args, **named)

    monkeypatch.setattr(soundfile.SoundFile, "read", count)
    assert is_bad(path, state_length(whole, 0), longest_s=2.0) == "too_long"
    assert is_bad(path, state_length(whole, 16_000), longest_s=2.0) == "joined"
    assert decoded < 16 * 16_000


def test_a_limit_bounds_rate_and_channels_in_memory(tmp_path, monkeypatch):
    assert is_bad(tmp_path / "a.flac", encoded("flac", sweep(0.5), 500_000), longest_s=9.0) == "high_rate"
    soundfile.write(tmp_path / "a.wav", np.tile(sweep(1.0)[:, None], 64), 16_000)
    sizes, read = [], soundfile.SoundFile.read

    def watch(self, *args, **named):
        sizes.append(read(self, *args, **named))
        return sizes[-1]

    monkeypatch.setattr(soundfile.SoundFile, "read", watch)
    assert len(audio.load(tmp_path / "a.wav")) == 16_000
    assert max(block.nbytes for block in sizes) < 3 << 20


def test_flac_in_ogg_is_read(tmp_path):
    whole = encoded("flac", sweep(3.0))
    for stated in (48_000, 0):
        (tmp_path / "a.ogg").write_bytes(wrap_in_ogg(state_length(whole, stated)))
        (tmp_path / "b.flac").write_bytes(whole)
        np.testing.assert_array_equal(audio.load(tmp_path / "a.ogg"), audio.load(tmp_path / "b.flac"))
    wrapped = wrap_in_ogg(whole)
    assert is_bad(tmp_path / "a.ogg", wrapped[: len(wrapped) // 2]) == "truncated"
    assert is_bad(tmp_path / "a.ogg", wrapped + wrapped) == "joined"


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_an_mp3_without_a_header_is_read_to_its_end(tmp_path, mode, rate):
    """libsndfile guesses its length from the first frames, here quiet and small ones."""
    wav = sweep(12.0, rate)
    wav[: 6 * rate] *= 1e-3
    file = io.BytesIO()
    soundfile.write(file, wav, rate, format="MP3", bitrate_mode=mode, compression_level=0.5)
    whole = file.getvalue()
    before = b"ID3\x04\x00\x00\x00\x00\x00\x0asome title" + b"\xff\xfb\x00" * 3
    (tmp_path / "a.mp3").write_bytes(whole)
    (tmp_path / "b.mp3").write_bytes(before + without_header(whole))
    known, guessed = audio.load(tmp_path / "a.mp3"), audio.load(tmp_path / "b.mp3")
    assert 0 <= len(guessed) - len(known) < 3 * 1152 * 16_000 / rate + 1
    lag = np.argmax(np.correlate(guessed[-20_000:], known[-10_000:], mode="valid"))
    tail = guessed[-20_000:][lag : lag + 10_000]
    np.testing.assert_allclose(tail, known[-10_000:], atol=0.05)
    assert len(audio.load(tmp_path / "b.mp3", part=(10.0, 1.5))) == 24_000


def test_one_channel_of_several(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([sweep(1.0), 0.5 * sweep(1.0), 0 * sweep(1.0)], axis=1), 16_000, "FLOAT")
    first, second = (audio.load(path, part=Part(channel=channel), corpus=True) for channel in (0, 1))
    np.testing.assert_allclose(first, sweep(1.0), atol=1e-6)
    np.testing.assert_allclose(second, 0.5 * sweep(1.0), atol=1e-6)
    np.testing.assert_allclose(audio.load(path, part=Part(0.5, 0.25, 1)), second[8_000:12_000], atol=1e-6)
    for channel, reason in ((2, "silent"), (3, "no_channel"), (None, "too_many_channels")):
        with pytest.raises(audio.BadAudio) as bad:
            audio.load(path, part=Part(channel=channel), corpus=True)
        assert bad.value.reason == reason


def test_a_member_of_a_tar_and_a_remote_file(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, sweep(1.0), 16_000)
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        tar.add(path, "x/a.flac")
    with fsspec.open("memory://sounds/a.flac", "wb") as file:
        file.write(path.read_bytes())
    for address in (f"{tmp_path}/t.tar::x/a.flac", "memory://sounds/a.flac"):
        np.testing.assert_array_equal(audio.load(address, corpus=True), audio.load(path))
    (tmp_path / "no.tar").write_bytes(b"x" * 2000)
    for address in ("t.tar::x/b.flac", "no.tar::a.flac", "none.tar::a.flac"):
        with pytest.raises(audio.BadAudio, match="missing"):
            audio.load(f"{tmp_path}/{address}")
    with pytest.raises(audio.BadAudio, match="missing"):
        audio.load("memory://sounds/b.flac")

"""The assembled codec against the published release's tokenizer: wav to codes, codes and token strings to
wav.
"""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from spirit_jax.speech import audio, segments
from spirit_jax.speech.audio import MIN_SAMPLES
from spirit_jax.speech.codec_folder import load_codec, save_codec
from spirit_jax.speech.commands.convert import VARIANTS, assemble, find_paths, read_networks
from spirit_jax.speech.encoders.pitch.vqvae_pitch import VqvaePitch
from spirit_jax.tokens.strings import parse, render
from tests.parity import golden

pytestmark = pytest.mark.parity
pytest.importorskip("torch", reason="reading the published files needs requirements-parity.txt")
FOLDER = golden.require(
    "golden_e2e.json",
    "golden_e2e.npz",
    "golden_hubert.npz",
    "golden_hubert_long.npz",
    "audio.npz",
    "f0_inputs.npz",
)
RECORDS = golden.load_json("golden_e2e.json")["records"]
SPOKEN, AUDIO, F0, LONG = (
    np.load(FOLDER / f"{name}.npz") for name in ("golden_e2e", "audio", "f0_inputs", "golden_hubert_long")
)
CASES = [tuple(name.split("/")) for name in RECORDS if name.split("/")[-1] in VARIANTS]
PIECES = [name for name in RECORDS if name.startswith("max_wav_chunk")]
WAV_TOLERANCE = 5e-4
STREAMS = {"hubert": "units", "pitch": "pitch", "style": "style"}


@pytest.fixture(scope="module")
def codecs(tmp_path_factory):
    """Converted, and loaded again: what a user has."""
    layer = int(np.load(FOLDER / "golden_hubert.npz")["meta_output_layer"])
    folder = tmp_path_factory.mktemp("codec") / "codec"
    networks = read_networks(find_paths(FOLDER, layer=layer))
    for variant in VARIANTS:
        save_codec(assemble(networks, variant), folder / variant)
    return {variant: load_codec(folder / variant) for variant in VARIANTS}


@pytest.fixture(autouse=True)
def stored_tracks(monkeypatch):
    """The golden set's F0, which another tracker made."""

    def tracks(self, wavs):
        names = [
            next(
                name for name in AUDIO.files if AUDIO[name].shape == wav.shape and (AUDIO[name] == wav).all()
            )
            for wav in wavs
        ]
        return [(F0[f"{name}_pyaapt/f0"], F0[f"{name}_pyaapt/vuv"]) for name in names]

    monkeypatch.setattr(VqvaePitch, "f0_tracks", tracks)


def streams_of(speech) -> dict[str, str]:
    return {
        name: " ".join(map(str, codes))
        for name, field in STREAMS.items()
        if (codes := speech.codes.get(field)) is not None
    }


def assert_spoken(wav: np.ndarray, case: str, samples: int) -> None:
    assert wav.dtype == np.float32
    assert len(wav) == samples
    head, tail = SPOKEN[f"{case}_wav_first8000"], SPOKEN[f"{case}_wav_last2000"]
    np.testing.assert_allclose(wav[: len(head)], head, atol=WAV_TOLERANCE, rtol=0)
    np.testing.assert_allclose(wav[-len(tail) :], tail, atol=WAV_TOLERANCE, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_codes_alone_and_in_company(codecs, variant):
    codec, names = codecs[variant], [name for name, kind in CASES if kind == variant]
    for name, together in zip(names, codec.encode_batch([AUDIO[name] for name in names])):
        alone = codec.encode_batch([AUDIO[name]])[0]
        assert streams_of(together) == streams_of(alone) == RECORDS[f"{name}/{variant}"]["units"]
        assert render(alone, codec.streams) == RECORDS[f"{name}/{variant}"]["string"]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_sound_of_a_token_string(codecs, name, kind):
    record = RECORDS[f"{name}/{kind}"]
    said = parse(record["string"], codecs[kind].streams)
    assert streams_of(said) == record["string_to_units"]
    wav = codecs[kind].decode(said, speaker=1)
    assert_spoken(wav, f"{name}|{kind}|decode_string", record["decode_string_samples"])


@pytest.mark.parametrize(
    ("name", "kind"), [case for case in CASES if "decode_units_samples" in RECORDS["/".join(case)]]
)
def test_sound_of_codes(codecs, name, kind):
    codec, record = codecs[kind], RECORDS[f"{name}/{kind}"]
    assert_spoken(
        codec.decode(codec.encode_batch([AUDIO[name]])[0], speaker=0),
        f"{name}|{kind}|decode_units",
        record["decode_units_samples"],
    )


def test_channels_are_averaged(codecs):
    rows = [
        AUDIO[name][: int(length)]
        for name, length in re.findall(r"(\w+)\[:(\d+)\]", RECORDS["stereo"]["note"])
    ]
    wavs = {**{f"channel{i}": row for i, row in enumerate(rows)}, "average": np.stack(rows)}
    for name, wav in wavs.items():
        assert streams_of(codecs["base"].encode_batch([wav])[0]) == RECORDS["stereo"][name]


def test_the_shortest_sounds(codecs):
    for name in [name for name in RECORDS if re.fullmatch(r"(too_short|ok)_\d+", name)]:
        wav = AUDIO["speech"][: int(name.split("_")[-1])]
        units = codecs["base"].encode_batch([wav])[0].units
        assert units.tolist() == [int(code) for code in RECORDS[name]["hubert"].split()], name
        assert bool(len(units)) == (len(wav) >= MIN_SAMPLES)


@pytest.mark.parametrize("name", PIECES)
def test_pieces(codecs, monkeypatch, name):
    piece, length = re.fullmatch(r"max_wav_chunk(\d+)/n(\d+)", name).groups()
    monkeypatch.setattr(segments, "SEGMENT_SECONDS", int(piece) / 16_000)
    assert streams_of(codecs["base"].encode_batch([AUDIO["speech"][: int(length)]])[0]) == RECORDS[name]


@pytest.mark.skipif(
    "SPIRIT_CHECKPOINTS" not in os.environ,
    reason="no published weights: set SPIRIT_CHECKPOINTS to their folder checkpoints/",
)
def test_the_real_utterance():
    """What the published tokenizers give for a real recording; pitch is left out, whose tracker this folder
    may not have.
    """
    (path,) = golden.require_real().glob("*.flac")
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    codec = assemble(read_networks(find_paths(Path(os.environ["SPIRIT_CHECKPOINTS"]))))
    (speech,) = codec.encode_batch([audio.load(path)])
    np.testing.assert_array_equal(speech.units, expected["units"])
    np.testing.assert_array_equal(speech.codes["style"], expected["style"])


@pytest.mark.slow
@pytest.mark.parametrize("length", sorted({name.split("|")[0] for name in LONG.files}))
def test_over_100_seconds(codecs, length):
    both = np.concatenate([AUDIO["speech"], AUDIO["chirp"]])
    wav = np.tile(both, -(-int(length[1:]) // len(both)))[: int(length[1:])]
    np.testing.assert_array_equal(
        codecs["base"].encode_batch([wav])[0].units, LONG[f"{length}|spiritlm_tokenizer_codes"]
    )

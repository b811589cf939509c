"""Two new codecs go through all commands, from recordings to a wav: a HuBERT of 50 Hz, and two streams.

The same commands are in docs/codecs.md. Nothing outside encoders, decoders and their tests knows of either.
"""

import json
import shutil
import textwrap

import numpy as np
import pytest

from spirit_jax.codec_training.config import CorpusConfig, PitchRun, StepsConfig
from spirit_jax.core.files import write_json, write_jsonl
from spirit_jax.core.settings import to_dict
from spirit_jax.datasets.shards import open_shards
from spirit_jax.datasets.units_folder import open_units
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.speech import audio
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.speech.codec_identity import read_identity
from spirit_jax.speech.encoders.wav2vec2.config import ConvShape, Wav2Vec2Config
from spirit_jax.tokens.streams import SAMPLE_RATE, Stream
from tests.codec_training.conftest import devices_of_the_mesh  # noqa: F401 (a fixture)
from tests.codec_training.world import ONE, make_wav, vocoder_run
from tests.speech.tiny_codec import PITCH
from tests.speech.tiny_encoders import store_encoder
from tests.verbs import run_verb

WORDS = ["the", "old", "fox", "saw", "the", "red", "hen"]
CENTRES = 100
SIZES = {"width": 32, "mlp_width": 48, "heads": 2, "layers": 2, "position_taps": 16, "position_groups": 4}


def hubert_convs(*last: int) -> tuple[ConvShape, ...]:
    """`[(C,10,5)] + [(C,3,2)]*4 + [(C,2,2)]*n` at a small width."""
    return (ConvShape(16, 10, 5), *[ConvShape(16, 3, 2)] * 4, *[ConvShape(16, 2, 2)] * len(last))


def write_recordings(folder, count=16):
    """Recordings of two voices with words at even times, one in four held out; the manifest's path."""
    rows = []
    for number in range(count):
        wav = make_wav(number % 2, number, seconds=2.1)
        audio.save(folder / f"{number}.wav", wav)
        step = len(wav) / SAMPLE_RATE / len(WORDS)
        words = [[word, round(i * step, 3), round((i + 1) * step, 3)] for i, word in enumerate(WORDS)]
        row = {"id": str(number), "audio": f"{number}.wav", "words": words, "text": " ".join(WORDS)}
        rows.append({**row, "voice": f"v{number % 2}", "split": "heldout" if number % 4 == 0 else "train"})
    write_jsonl(folder / "manifest.jsonl", rows)
    return folder / "manifest.jsonl"


def convert(root, convs):
    """A Hugging Face HuBERT of random weights and k-means centres as a codec that only encodes."""
    hubert = store_encoder(root / "hubert", Wav2Vec2Config(convs=convs, **SIZES))
    np.save(root / "centres.npy", np.random.default_rng(0).normal(size=(CENTRES, 32)).astype(np.float32))
    (root / "checkpoints").mkdir()
    parts = {"HUBERT": hubert, "LAYER": 1, "QUANTIZER": root / "centres.npy"}
    assert run_verb("convert-speech", CHECKPOINTS=root / "checkpoints", OUT=root / "codec", **parts) == 0
    return root / "codec"


def write_recipe(root, rows):
    """A training recipe of a model with so many rows, on the shards in `root`."""
    text = f"""
        from spirit_jax.config import DataConfig, Dtype, ModelConfig
        from spirit_jax.config import OptimConfig, RunConfig, Source, TrainConfig

        def config():
            sizes = dict(width=32, layers=1, heads=2, kv_heads=2, head_width=16, mlp_width=32)
            data = DataConfig("tokenizer", (Source("shards"),), "codec", sequence_length=256)
            model = ModelConfig({rows}, dtype=Dtype.FLOAT32, **sizes)
            return RunConfig(model, data, TrainConfig(4, 8, log_every=1), optim=OptimConfig(1e-3, 1))
    """
    (root / "recipe.py").write_text(textwrap.dedent(text))
    return root / "recipe.py"


def extract(root, manifest, codec, name):
    assert run_verb("units", AUDIO=manifest, CODEC=codec, OUT=root / name) == 0
    return root / name


def train_language_model(root, manifest, units, codec):
    """Shards, and a language model of a few steps on them; its folder."""
    if codec != root / "codec":
        shutil.rmtree(root / "codec")
        shutil.copytree(codec, root / "codec")
    assert run_verb("tokenizer", TEXTS=manifest, PIECES=280, OUT=root / "tokenizer") == 0
    paths = {"UNITS_DIR": units, "CODEC": root / "codec", "TOKENIZER": root / "tokenizer"}
    assert run_verb("shards", **paths, OUT=root / "shards") == 0
    vocabulary = open_shards(root / "shards").metadata.vocabulary
    recipe = write_recipe(root, vocabulary.rows())
    assert run_verb("train", CONFIG=recipe, ROOT=root, OUT=root / "run") == 0
    return root / "run"


def train_voice(root, units, codec, rates):
    """A vocoder of a few steps on these units; the codec that has it."""
    run = vocoder_run(units, codec, 2)
    write_json(root / "vocoder.json", to_dict(run))
    kernels = [2 * rate for rate in rates]
    settings = f"generator.rates={json.dumps(rates)} generator.rate_kernels={json.dumps(kernels)}".replace(
        ", ", ","
    )
    out = root / "vocoder"
    assert (
        run_verb(
            "train-vocoder", UNITS_DIR=units, CODEC=codec, CONFIG=root / "vocoder.json", OUT=out, SET=settings
        )
        == 0
    )
    return out / "codec"


def speak(root, run, voice, monkeypatch):
    """What the model says to a recording, by the trained voice."""
    assert run_verb("generate", CKPT=run, AUDIO=root / "0.wav", MODALITY="text") == 0
    assert run_verb("generate", CKPT=run, AUDIO=root / "0.wav", MODALITY="speech") == 2, "no decoder yet"
    shutil.copytree(voice, run / "codec", dirs_exist_ok=True)
    monkeypatch.chdir(root)
    assert run_verb("generate", CKPT=run, AUDIO=root / "0.wav", MODALITY="speech") == 0
    return audio.load(root / "generated/000.wav")


@pytest.mark.slow
def test_a_hubert_of_50_hz(tmp_path, monkeypatch):
    manifest, codec = write_recordings(tmp_path), convert(tmp_path, hubert_convs(2, 2))
    assert read_identity(codec).streams == (Stream("units", "Hu", CENTRES, 50.0),)
    units = extract(tmp_path, manifest, codec, "units")
    assert {len(row["units"]) for row in open_units(units).rows()} == {104}, "2.1 s at 50 Hz, less the reach"
    run = train_language_model(tmp_path, manifest, units, codec)
    wav = speak(tmp_path, run, train_voice(tmp_path, units, codec, (10, 8, 4)), monkeypatch)
    assert len(wav) % 320 == 0
    lm = SpiritLM.load(run)
    assert lm.codec.fingerprint == load_codec(codec).fingerprint
    (heard,) = lm.listen([tmp_path / "0.wav"])
    assert len(lm.codec.decode(heard)) == 320 * 104


@pytest.mark.slow
def test_a_codec_of_two_streams(tmp_path, monkeypatch):
    manifest, base = write_recordings(tmp_path), convert(tmp_path, hubert_convs(2, 2, 2))
    units = extract(tmp_path, manifest, base, "base_units")
    steps = StepsConfig(2, batch_rows=4)
    pitch = PitchRun(steps, CorpusConfig(str(units), str(base)), PITCH, mesh=ONE)
    write_json(tmp_path / "pitch.json", to_dict(pitch))
    paths = {"UNITS_DIR": units, "CODEC": base, "CONFIG": tmp_path / "pitch.json"}
    assert run_verb("train-pitch", **paths, OUT=tmp_path / "pitch") == 0
    codec = tmp_path / "pitch/codec"
    assert [(s.name, s.rate) for s in read_identity(codec).streams] == [("units", 25.0), ("pitch", 12.5)]
    units = extract(tmp_path, manifest, codec, "units")
    run = train_language_model(tmp_path, manifest, units, codec)
    record = open_shards(tmp_path / "shards")[0]
    assert list(record.speech.codes) == ["units", "pitch"]
    wav = speak(tmp_path, run, train_voice(tmp_path, units, codec, (20, 32)), monkeypatch)
    assert len(wav) % 640 == 0
    lm = SpiritLM.load(run)
    assert lm.vocabulary.streams == lm.codec.streams
    (heard,) = lm.listen([tmp_path / "0.wav"])
    assert len(lm.codec.decode(heard)) == 640 * len(heard.units)

"""A tiny corpus of two voices in files, with units, and recipes that train on it in seconds."""

import json
from pathlib import Path

import numpy as np

from spirit_jax.codec_training.config import (
    AdamConfig,
    CorpusConfig,
    DiscriminatorSizes,
    GeneratorSizes,
    MelConfig,
    StepsConfig,
    VocoderLoss,
    VocoderRun,
)
from spirit_jax.codec_training.fit_codec import fit_codec
from spirit_jax.config import CheckpointConfig, MeshConfig
from spirit_jax.speech import audio
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import save_codec
from spirit_jax.tokens.streams import SAMPLE_RATE
from tests.written_units import write_units

ONE = MeshConfig(1, 1, 1)


def make_wav(voice: int, seed: int, seconds: float = 1.6) -> np.ndarray:
    """Four vowels of a pulse train, its F0 varied a little."""
    rng = np.random.default_rng((voice, seed))
    time_S = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch_S = (110 + 90 * voice) * (
        1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * time_S + rng.uniform(0, 6))
    )
    phase_S = 2 * np.pi * np.cumsum(pitch_S) / SAMPLE_RATE
    formants = np.repeat(rng.permutation([300.0, 700.0, 1200.0, 2400.0]), -(-len(time_S) // 4))[: len(time_S)]
    wav_S = np.zeros_like(time_S)
    for harmonic in range(1, 24):
        wav_S += np.exp(-np.square((harmonic * pitch_S - formants) / 250)) * np.sin(harmonic * phase_S)
    return (0.2 * wav_S + 0.002 * rng.normal(size=len(wav_S))).astype(np.float32)


def write_corpus(folder: Path, codec: Codec | None = None, count: int = 10) -> tuple[Path, Path]:
    """Units folder and codec folder of `count` recordings for each of two voices, one in five held out; by
    default of the weight-free codec.
    """
    rows, wavs = [], []
    for voice in range(2):
        for number in range(count):
            wavs.append(make_wav(voice, number))
            name = f"v{voice}-{number}"
            audio.save(folder / f"{name}.wav", wavs[-1])
            rows.append(
                {
                    "id": name,
                    "audio": str(folder / f"{name}.wav"),
                    "voice": f"v{voice}",
                    "split": "train" if number % 5 else "heldout",
                }
            )
    codec = codec or fit_codec(wavs, 16, expressive=True, seed=0)
    save_codec(codec, folder / "codec")
    for row, speech in zip(rows, codec.encode_batch(wavs)):
        row |= {name: codes.tolist() for name, codes in speech.codes.items()}
    write_units(folder / "units", rows, codec.streams, codec.fingerprint)
    return folder / "units", folder / "codec"


def rows_of(out: Path) -> list[dict]:
    """A run's metrics."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def vocoder_run(
    units: Path, codec: Path, steps: int, adversarial_from: int = 0, mesh: MeshConfig = ONE, every: int = 100
) -> VocoderRun:
    """A HiFi-GAN that learns these sounds in a hundred steps."""
    return VocoderRun(
        train=StepsConfig(steps, batch_rows=4, log_every=5, evaluate_every=0),
        corpus=CorpusConfig(str(units), str(codec), evaluated=4),
        generator=GeneratorSizes((8, 10, 8), (16, 20, 16), 32, 2, (3,), ((1, 3),), 16, 8),
        discriminators=DiscriminatorSizes((2, 3), (4, 8), 2, ((4, 15, 2, 1), (8, 11, 4, 2))),
        mel=MelConfig(40, 512, 128),
        loss=VocoderLoss(adversarial_from=adversarial_from),
        segment_units=8,
        optim=AdamConfig(rate=3e-3),
        mesh=mesh,
        checkpoint=CheckpointConfig(every_steps=every),
    )

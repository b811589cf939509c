"""Trains a network from a codec's codes to mel frames, voicing, F0 and durations: a decoder that others
understand after minutes on a CPU.

Legend: B rows, T units, N units before they are repeated, R frames of a unit (10 ms each), M mel bands.
"""

import dataclasses
import functools
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.codec_training import losses
from spirit_jax.codec_training.config import MelConfig, MelNetworkRun
from spirit_jax.codec_training.corpus import Corpus, Recording, at_level, draw_batches, read_corpus
from spirit_jax.codec_training.optimizer import adam, update
from spirit_jax.codec_training.vocoder import commonest, mel_distances
from spirit_jax.codec_training.vocoder_rows import draw_runs, runs_of
from spirit_jax.core.batching import stack
from spirit_jax.core.progress import track
from spirit_jax.runs.state import TrainState
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import load_codec, save_codec
from spirit_jax.speech.decoders.durations import predict
from spirit_jax.speech.decoders.mel_decoder import MelDecoder
from spirit_jax.speech.decoders.mel_network import (
    SPEAKER,
    MelNetwork,
    MelNetworkConfig,
    align,
    predict_frames,
)
from spirit_jax.speech.encoders import mfcc
from spirit_jax.speech.encoders.f0 import track_f0
from spirit_jax.speech.encoders.style.pooled import REFERENCE_HZ
from spirit_jax.speech.segments import unit_starts
from spirit_jax.speech.weights.readers import RandomReader
from spirit_jax.speech.weights.table import Table
from spirit_jax.tokens.streams import UNITS, duration_s

GROUP = 64  # recordings that are analysed together
FIRST = 0.1  # of the random last layer is left at the start; our choice
Batch = dict[str, jax.Array]
Figures = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Example:
    """A recording's codes at the units' rate, int32 [T], its speaker, int32 [], and its frames: log-mel,
    float16 [T, R, M], and octaves of F0 over REFERENCE_HZ, float32 [T, R], NaN where unvoiced.
    """

    codes: dict[str, np.ndarray]
    mel: np.ndarray
    octaves: np.ndarray

    @functools.cached_property
    def runs(self) -> tuple[np.ndarray, np.ndarray]:
        """As of `runs_of`."""
        return runs_of(self.codes[UNITS])


class MelNetworkTraining:
    """The network (a `loop.Training`). All frames are kept in memory, 50 MB an hour."""

    def __init__(self, config: MelNetworkRun):
        self.config = config
        self.codec = load_codec(config.corpus.codec)
        whole = read_corpus(config.corpus, self.codec.fingerprint, known_voices=config.network.speakers)
        kept = draw_hours(whole.train, config.corpus_hours, self.codec, config.train.seed)
        self.corpus = Corpus(kept, whole.held_out)
        self.voices = self.corpus.voices if config.network.speakers else []
        self.cfg = MelNetworkConfig(
            self.codec.streams,
            self.codec.unit_encoder.spoken_count,
            **dataclasses.asdict(config.network) | {"speakers": len(self.voices)},
        )
        self.examples = self._analyse(self.corpus.train)
        self.held_out = self._analyse(self.corpus.held_out)
        self.optimizer = adam(config.optim)

    def _analyse(self, recordings: Sequence[Recording]) -> list[Example]:
        groups = [recordings[i : i + GROUP] for i in range(0, len(recordings), GROUP)]
        examples = []
        for group in track(groups, "mel frames", unit=f"× {GROUP} recordings"):
            wavs = [recording.load() for recording in group]
            for one, wav, *frames in zip(group, wavs, mfcc.log_mel(wavs), track_f0(wavs)):
                examples.append(self._example(one, len(wav), *frames))
        return examples

    def _example(self, one: Recording, samples: int, mel_FM: np.ndarray, f0_F: np.ndarray) -> Example:
        """f0_F: at 200 Hz; every second one is centred in a frame."""
        codes = align(self.cfg.streams, one.speech.codes)
        if self.voices:
            codes[SPEAKER] = np.array(
                self.voices.index(one.voice) if one.voice in self.voices else 0, np.int32
            )
        hop = self.cfg.frames_per_unit * mfcc.HOP
        starts_T = unit_starts(len(one.speech.units), samples, self.codec.count_units, hop)
        at_TR = np.minimum(
            starts_T[:, None] // mfcc.HOP + np.arange(self.cfg.frames_per_unit), len(mel_FM) - 1
        )
        hz_TR = f0_F[2 * at_TR + 1]
        octaves_TR = np.log2(
            hz_TR / REFERENCE_HZ, out=np.full(hz_TR.shape, np.nan, np.float32), where=hz_TR > 0
        )
        return Example(codes, mel_FM[at_TR].astype(np.float16), octaves_TR)

    @property
    def learns_from(self) -> dict[str, str]:
        """The recordings."""
        return {"corpus": self.corpus.fingerprint}

    def start(self) -> TrainState:
        """Random weights; the last layer's are small and its bias is the mean of the frames, so that training
        begins there.
        """
        network = MelNetwork(self.cfg, RandomReader(jax.random.key(self.config.train.seed)))
        network.out.kernel_KIO[...] = network.out.kernel_KIO[...] * FIRST
        network.out.bias_O[...] = jnp.asarray(self._mean)
        return TrainState(jnp.zeros((), jnp.int32), network, self.optimizer.init(network))

    @functools.cached_property
    def _mean(self) -> np.ndarray:
        """Means of log-mel, voicing as a logit of 0, and octaves: float32 [M + 2]."""
        mel_M = np.mean([one.mel.mean(axis=(0, 1), dtype=np.float32) for one in self.examples], axis=0)
        octaves = np.concatenate([one.octaves.reshape(-1) for one in self.examples])
        voiced = octaves[np.isfinite(octaves)]
        return np.array([*mel_M, 0, voiced.mean() if len(voiced) else 0], np.float32)

    def batches(self) -> grain.MapDataset:
        """Random segments, of which `count` units count; see `cut`."""
        train, units = self.config.train, self.config.segment_units
        return draw_batches(self.examples, functools.partial(cut, units=units), train.batch_rows, train.seed)

    def step(self, number: int) -> Any:
        """The same for all steps."""
        return self._step

    @functools.cached_property
    def _step(self) -> Any:
        return functools.partial(mel_step, self)

    @functools.cached_property
    def _true(self) -> list[np.ndarray]:
        hop = self.cfg.frames_per_unit * mfcc.HOP
        return [recording.load()[: hop * len(recording.speech.units)] for recording in self.corpus.held_out]

    def evaluate(self, model: Any) -> dict[str, float]:
        """On held-out recordings: errors of frames (`frame_errors`), mel distances of the sound as of a
        vocoder, errors of durations.
        """
        decoder, recordings = self.make_decoder(model), self.corpus.held_out
        spoken = [at_level(decoder.speak(one.speech, None, None)) for one in recordings]
        return {
            **frame_errors(model, self.held_out),
            **mel_distances(spoken, self._true, MelConfig()),
            **self._duration_errors(model),
        }

    def _duration_errors(self, network: MelNetwork) -> dict[str, float]:
        """In units at their rate, those of always predicting the training median, and the predicted length of
        all over the true one.
        """
        units, frames = zip(*(runs_of(one.speech.units) for one in self.corpus.held_out))
        guess = np.median(np.concatenate([runs_of(one.speech.units)[1] for one in self.corpus.train]))
        predicted, true = np.concatenate(predict(network, units)), np.concatenate(frames)
        return {
            "frames_off": float(np.abs(predicted - true).mean()),
            "frames_off_of_median": float(np.abs(guess - true).mean()),
            "length": float(predicted.sum() / true.sum()),
        }

    def describe(self) -> str:
        """Sizes and data."""
        count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(jax.eval_shape(self.start).model))
        hours = sum(duration_s(one.speech, self.codec.streams) for one in self.corpus.train) / 3600
        rows, seconds = self.config.train.batch_rows, self.config.segment_units / self.codec.streams[0].rate
        return (
            f"mel network: {count:,} parameters, from {', '.join(self.cfg.tables)}\n"
            f"data: {len(self.corpus.train):,} recordings, {hours:.2f} h, {len(self.corpus.voices)} voices, "
            f"{len(self.corpus.held_out)} held out\n"
            f"step: {rows} rows × {seconds:.2f} s, {self.config.train.steps:,} steps"
        )

    def finish(self, model: Any, out: Path) -> None:
        """Writes the codec with the network as its decoder to `out/codec`."""
        save_codec(dataclasses.replace(self.codec, decoder=self.make_decoder(model)), out / "codec")

    def make_decoder(self, network: MelNetwork) -> MelDecoder:
        """The network as a decoder. Speech without one of the other streams gets its commonest code."""
        columns = {name: [one.codes[name].reshape(-1) for one in self.examples] for name in self.cfg.tables}
        usual = {name: commonest(codes) for name, codes in columns.items() if name != UNITS}
        return MelDecoder(network, usual, tuple(self.voices), self._voice_units() if self.voices else None)

    def _voice_units(self) -> Table:
        """Log of the share of each unit in a voice's units, with one of each counted beforehand: [S, K]."""
        count_SK = np.ones((len(self.voices), self.cfg.spoken), np.float32)
        for one in self.examples:
            np.add.at(count_SK, (one.codes[SPEAKER], one.codes[UNITS]), 1)
        return Table(log_shares=np.log(count_SK / count_SK.sum(axis=1, keepdims=True)))


def cut(one: Example, rng: np.random.Generator, units: int) -> dict[str, np.ndarray]:
    """A random segment of `units` units, padded where the recording is shorter; `count` of them count. And
    `runs` for the durations, as of `draw_runs`.
    """
    begin = int(rng.integers(max(1, len(one.mel) - units + 1)))
    count = min(units, len(one.mel))

    def take(values: np.ndarray) -> np.ndarray:
        return stack([values[begin : begin + count]], units, 1)[0]

    rows = {**one.codes, "mel": one.mel, "octaves": one.octaves}
    taken = {name: take(values) if values.ndim else values for name, values in rows.items()}
    return {**taken, "count": np.array(count, np.int32), **draw_runs(one.runs, rng)}


def mel_step(training: MelNetworkTraining, state: TrainState, batch: Batch) -> tuple[TrainState, Figures]:
    """Updates the network by the weighted sum of its losses."""
    weights = training.config.loss

    def loss(network: MelNetwork) -> tuple[jax.Array, Figures]:
        figures = frame_losses(network, batch)
        durations = network.log_durations(batch["runs"], batch["run_count"])
        figures["durations"] = losses.duration_error(durations, batch["run_frames"], batch["run_count"])
        total = figures["frames"] + weights.voicing * figures["voicing"]
        return total + weights.f0 * figures["f0"] + weights.durations * figures["durations"], figures

    grads, figures = jax.grad(loss, has_aux=True)(state.model)
    network, opt = update(training.optimizer, state.model, grads, state.opt)
    return TrainState(state.step + 1, network, opt), figures


def frame_losses(network: MelNetwork, batch: Batch) -> Figures:
    """Means over the frames that count: absolute differences of log-mel and, where voiced, of octaves, and
    the cross-entropy of voicing.
    """
    made = network({name: batch[name] for name in network.cfg.tables}, batch["count"])
    rows, units, per_unit = batch["octaves"].shape
    inside_BF = jnp.repeat(jnp.arange(units)[None] < batch["count"][:, None], per_unit, axis=1)
    octaves_BF = batch["octaves"].reshape(rows, -1)
    voiced_BF = inside_BF & jnp.isfinite(octaves_BF)
    mel_BF = jnp.abs(made.mel - batch["mel"].reshape(rows, -1, mfcc.MELS).astype(jnp.float32)).mean(axis=-1)
    sign_BF = jnp.where(voiced_BF, 1.0, -1.0)
    far_BF = jnp.abs(made.octaves - jnp.where(voiced_BF, octaves_BF, 0))
    return {
        "frames": _mean(mel_BF, inside_BF),
        "voicing": _mean(jax.nn.softplus(-sign_BF * made.voicing), inside_BF),
        "f0": _mean(far_BF, voiced_BF),
    }


def frame_errors(network: MelNetwork, examples: Sequence[Example]) -> dict[str, float]:
    """Mean absolute difference of log-mels, in nats; share of frames whose voicing is wrong; difference of F0
    where both are voiced, in semitones.
    """
    mels, f0s = zip(*(predict_frames(network, one.codes) for one in examples))
    true_FM = np.concatenate([one.mel.reshape(-1, mfcc.MELS) for one in examples])
    octaves_F = np.concatenate([one.octaves.reshape(-1) for one in examples])
    f0_F, voiced_F = np.concatenate(f0s), np.isfinite(octaves_F)
    both_F = voiced_F & (f0_F > 0)
    off_F = np.abs(np.log2(f0_F[both_F] / REFERENCE_HZ) - octaves_F[both_F])
    return {
        "frames": float(np.abs(np.concatenate(mels) - true_FM).mean()),
        "voicing_error": float(np.mean((f0_F > 0) != voiced_F)),
        **({"semitones_off": 12 * float(off_F.mean())} if both_F.any() else {}),
    }


def draw_hours(recordings: Sequence[Recording], hours: float, codec: Codec, seed: int) -> list[Recording]:
    """Recordings in their order, drawn at random until there are `hours` of them, one at least."""
    order, kept, seconds = list(range(len(recordings))), [], 0.0
    random.Random(seed).shuffle(order)
    for i in order:
        if kept and seconds >= hours * 3600:
            break
        kept.append(i)
        seconds += duration_s(recordings[i].speech, codec.streams)
    return [recordings[i] for i in sorted(kept)]


def _mean(values_BF: jax.Array, keep_BF: jax.Array) -> jax.Array:
    return jnp.where(keep_BF, values_BF, 0).sum() / jnp.maximum(keep_BF.sum(), 1).astype(values_BF.dtype)

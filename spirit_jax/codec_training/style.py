"""Trains style codes: k-means over a teacher's features of whole seconds, distilled into a wav2vec 2.0
classifier (paper, section 3.1; observed in Meta's release).

Legend: B rows, S samples, T frames, N seconds, D width, V codes.
"""

import functools
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax

from spirit_jax.codec_training.config import StyleRun
from spirit_jax.codec_training.corpus import Recording, draw_batches, read_corpus
from spirit_jax.codec_training.loop import decoder_note
from spirit_jax.codec_training.optimizer import adam, update
from spirit_jax.core.errors import UserError
from spirit_jax.core.progress import track
from spirit_jax.runs.state import TrainState
from spirit_jax.speech.audio import normalize
from spirit_jax.speech.codec_folder import load_codec, save_codec
from spirit_jax.speech.encoders.hubert import extract_features, load_hubert
from spirit_jax.speech.encoders.style.classifier import (
    FRAMES_PER_CODE,
    ClassifierStyle,
    StyleEncoder,
    StyleHead,
    encode_style,
    pool,
)
from spirit_jax.speech.encoders.wav2vec2.batches import round_up_tiles
from spirit_jax.speech.encoders.wav2vec2.checkpoints import HF_EPS
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.quantizers.kmeans import assign, nearest, train_kmeans
from spirit_jax.speech.stored_parts import part_fingerprint
from spirit_jax.speech.weights.readers import RandomReader
from spirit_jax.tokens.streams import SAMPLE_RATE, style_stream

FRAME_RATE = 50.0
GROUP = 16  # recordings that the teacher encodes together
UNKNOWN = -1  # the code of padding


class StyleTraining:
    """The student (a `loop.Training`). The teacher's pooled features are kept in memory, 11 MB per hour at
    width 768.
    """

    def __init__(self, config: StyleRun):
        self.config = config
        self.codec = codec = load_codec(config.corpus.codec)
        teacher, student = load_hubert(config.teacher, config.teacher_layer), load_hubert(config.student)
        for name, model in (("teacher", teacher), ("student", student)):
            if model.frame_rate != FRAME_RATE:
                raise UserError(
                    f"{name} frames a second",
                    model.frame_rate,
                    f"must be {FRAME_RATE}",
                    "use a wav2vec 2.0 or HuBERT of that rate",
                )
        self.teacher_fingerprint = part_fingerprint(teacher)
        self.corpus = read_corpus(config.corpus, codec.fingerprint)
        self.encoder: Wav2Vec2 = student.encoder
        train, held_out = (
            self._pooled(recordings, teacher) for recordings in (self.corpus.train, self.corpus.held_out)
        )
        centers_VD = train_kmeans(np.concatenate(train), config.codes, config.train.seed)
        self.distance = float(nearest(np.concatenate(held_out), centers_VD)[1].mean())
        self.distance_of_mean = float(
            np.square(np.concatenate(held_out) - np.concatenate(train).mean(axis=0)).sum(axis=1).mean()
        )
        self.train = [
            (recording, assign(x_ND, centers_VD)) for recording, x_ND in zip(self.corpus.train, train)
        ]
        self.held_out = [
            (recording, assign(x_ND, centers_VD)) for recording, x_ND in zip(self.corpus.held_out, held_out)
        ]
        self.optimizer = adam(config.optim)

    @property
    def learns_from(self) -> dict[str, str]:
        """The recordings, and the teacher's weights, which make the codes."""
        return {"corpus": self.corpus.fingerprint, "teacher": self.teacher_fingerprint}

    @staticmethod
    def _pooled(recordings: list[Recording], teacher: Any) -> list[np.ndarray]:
        """Mean features of each second, float32 [N, D], of each recording."""
        groups = [recordings[i : i + GROUP] for i in range(0, len(recordings), GROUP)]
        found = []
        for group in track(groups, "teacher", unit=f"× {GROUP} recordings"):
            found += map(pool, extract_features(teacher, [recording.load() for recording in group]))
        return found

    def start(self) -> TrainState:
        """The student's encoder and a head of random weights."""
        head = StyleHead(
            RandomReader(jax.random.key(self.config.train.seed)),
            self.encoder.cfg.width,
            self.config.projected,
            self.config.codes,
        )
        model = StyleEncoder(jax.tree.map(jnp.copy, self.encoder), head)
        return TrainState(jnp.zeros((), jnp.int32), model, self.optimizer.init(model))

    def batches(self) -> grain.MapDataset:
        """Segments of whole seconds: `wav` [B, S], of which `samples` count, and `codes` [B, N]."""
        train, seconds = self.config.train, self.config.seconds
        tiles = -(-seconds * FRAMES_PER_CODE // self.encoder.cfg.tile)
        room = self.encoder.cfg.most_samples(round_up_tiles(tiles) * self.encoder.cfg.tile)

        def cut(item: tuple[Recording, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
            recording, codes_N = item
            first = int(rng.integers(max(1, len(codes_N) - seconds + 1)))
            wav_S = normalize(recording.load(), HF_EPS)[first * SAMPLE_RATE : (first + seconds) * SAMPLE_RATE]
            codes_N = codes_N[first : first + seconds]
            padded = {
                "wav": np.pad(wav_S, (0, room - len(wav_S))),
                "codes": np.pad(codes_N, (0, seconds - len(codes_N)), constant_values=UNKNOWN),
            }
            return {**padded, "samples": np.array(len(wav_S), np.int32)}

        return draw_batches(self.train, cut, train.batch_rows, train.seed)

    def step(self, number: int) -> Any:
        """The same for all steps."""
        return self._step

    @functools.cached_property
    def _step(self) -> Any:
        return functools.partial(style_step, self)

    def evaluate(self, model: StyleEncoder) -> dict[str, float]:
        """Share of held-out seconds whose code is the teacher's, and of the commonest code; the mean squared
        distance of the teacher's features to the centres, and to their mean.
        """
        predicted_N, true_N = [], []
        for predicted, (_, true) in zip(
            encode_style(model, [recording.load() for recording, _ in self.held_out]), self.held_out
        ):
            # the frames of student and teacher may end at different samples
            seconds = min(len(predicted), len(true))
            predicted_N.append(predicted[:seconds])
            true_N.append(true[:seconds])
        predicted, true = np.concatenate(predicted_N), np.concatenate(true_N)
        commonest = np.bincount(np.concatenate([codes_N for _, codes_N in self.train])).argmax()
        return {
            "accuracy": float(np.mean(predicted == true)),
            "accuracy_of_commonest": float(np.mean(true == commonest)),
            "distance": self.distance,
            "distance_of_mean": self.distance_of_mean,
        }

    def describe(self) -> str:
        """Sizes and data."""
        seconds = sum(len(codes_N) for _, codes_N in self.train)
        stream = style_stream(self.config.codes, FRAME_RATE / FRAMES_PER_CODE)
        return (
            f"style: {self.config.codes} codes of {seconds:,} seconds, {len(self.train):,} recordings, "
            f"{len(self.held_out)} held out\n"
            f"step: {self.config.train.batch_rows} rows × {self.config.seconds} s, "
            f"{self.config.train.steps:,} steps{decoder_note(self.codec, stream)}"
        )

    def finish(self, model: StyleEncoder, out: Path) -> None:
        """Writes the codec with these style codes to `out/codec`."""
        save_codec(self.codec.replace_encoder(ClassifierStyle(model)), out / "codec")


def style_step(
    training: StyleTraining, state: TrainState, batch: dict[str, jax.Array]
) -> tuple[TrainState, dict[str, jax.Array]]:
    """An update by the cross-entropy of the codes, with the convolutions frozen."""

    def loss(model: StyleEncoder) -> tuple[jax.Array, dict[str, jax.Array]]:
        logits_BNV = classify_seconds(model, batch["wav"], batch["samples"], training.config.seconds)
        known_BN = batch["codes"] != UNKNOWN
        nll_BN = optax.softmax_cross_entropy_with_integer_labels(logits_BNV, jnp.maximum(batch["codes"], 0))
        right_BN = jnp.argmax(logits_BNV, axis=-1) == batch["codes"]
        count = known_BN.sum().astype(jnp.float32)
        mean = jnp.where(known_BN, nll_BN, 0).sum() / count
        return mean, {"nll": mean, "accuracy": (right_BN & known_BN).sum().astype(jnp.float32) / count}

    grads, figures = jax.grad(loss, has_aux=True)(state.model)
    model, opt = update(training.optimizer, state.model, grads, state.opt)
    return TrainState(state.step + 1, model, opt), figures


def classify_seconds(model: StyleEncoder, wav_BS: jax.Array, samples_B: jax.Array, seconds: int) -> jax.Array:
    """Logits [B, N, V] of the mean frame of each second; of row b the first samples_B[b] samples count."""
    encoder = jax.tree.map(lambda x: x, model.encoder)
    # their loop over tiles has no derivative, and fine-tuning freezes them
    encoder.convs = jax.tree.map(jax.lax.stop_gradient, encoder.convs)
    states_BTD = encoder(wav_BS, samples_B)[-1][:, : seconds * FRAMES_PER_CODE]
    rows, frames, width = states_BTD.shape
    inside_BT1 = (jnp.arange(frames)[None] < encoder.cfg.frame_count(samples_B)[:, None])[..., None]
    split = (rows, seconds, FRAMES_PER_CODE)
    sum_BND = jnp.where(inside_BT1, states_BTD, 0).reshape(*split, width).sum(axis=2)
    count_BN1 = jnp.maximum(inside_BT1.reshape(*split, 1).sum(axis=2), 1).astype(jnp.float32)
    return model.head((sum_BND / count_BN1).reshape(-1, width))[1].reshape(rows, seconds, -1)

"""Trains a HiFi-GAN with its duration predictor for a codec's units (paper, section 3.3; Kong et al. 2020;
Polyak et al. 2021).

Legend: B rows, T frames of 25 Hz, S samples, N units.
"""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.codec_training import losses, vocoder_rows
from spirit_jax.codec_training.config import GeneratorSizes, MelConfig, VocoderRun
from spirit_jax.codec_training.corpus import Corpus, at_level, read_corpus
from spirit_jax.codec_training.discriminators import Discriminators
from spirit_jax.codec_training.optimizer import adam, update
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_json
from spirit_jax.runs.state import TrainState
from spirit_jax.speech.codec_folder import load_codec, save_codec
from spirit_jax.speech.decoders.durations import predict
from spirit_jax.speech.decoders.hifigan import Generator
from spirit_jax.speech.decoders.hifigan_config import GeneratorConfig
from spirit_jax.speech.decoders.hifigan_decoder import HifiganDecoder
from spirit_jax.speech.decoders.hifigan_synthesis import Utterance, synthesize
from spirit_jax.speech.encoders import mfcc
from spirit_jax.speech.weights.readers import RandomReader
from spirit_jax.tokens.streams import SAMPLE_RATE, UNITS, Streams

Batch = dict[str, jax.Array]
Figures = dict[str, jax.Array]


class VocoderTraining:
    """Generator and discriminators, updated in turn (a `loop.Training`)."""

    def __init__(self, config: VocoderRun):
        self.config = config
        self.codec = load_codec(config.corpus.codec)
        self.corpus: Corpus = read_corpus(
            config.corpus, self.codec.fingerprint, known_voices=config.generator.speakers
        )
        self.cfg = generator_config(config.generator, self.codec.streams, len(self.corpus.voices))
        self.sampler = vocoder_rows.SegmentSampler(self.corpus.voices, self.cfg, self.codec.count_units)
        self.optimizer = adam(config.optim)

    @property
    def learns_from(self) -> dict[str, str]:
        """The recordings."""
        return {"corpus": self.corpus.fingerprint}

    def start(self) -> TrainState:
        """Random weights, with a kernel's standard deviation as in `RandomReader`: our choice, where HiFi-GAN
        uses 0.01 for all.
        """
        key = jax.random.key(self.config.train.seed)
        generator = Generator(self.cfg, RandomReader(jax.random.fold_in(key, 0)))
        model = {
            "generator": generator,
            "discriminators": Discriminators(self.config.discriminators, jax.random.fold_in(key, 1)),
        }
        return TrainState(
            jnp.zeros((), jnp.int32),
            model,
            {name: self.optimizer.init(network) for name, network in model.items()},
        )

    def batches(self) -> grain.MapDataset:
        """See `vocoder_rows.SegmentSampler`."""
        train = self.config.train
        return self.sampler.batches(
            self.corpus.train, self.config.segment_units, train.batch_rows, train.seed
        )

    def step(self, number: int) -> Any:
        """Mel and durations alone at first, then all terms of the loss."""
        return self._all if number > self.config.loss.adversarial_from else self._mel_alone

    @functools.cached_property
    def _mel_alone(self) -> Any:
        return functools.partial(warm_step, self)

    @functools.cached_property
    def _all(self) -> Any:
        return functools.partial(adversarial_step, self)

    def update(self, state: TrainState, name: str, grads: Any) -> tuple[Any, Any]:
        """The network of that name after one update, and its optimizer's state."""
        return update(self.optimizer, state.model[name], grads, state.opt[name])

    def speak(self, generator: Generator, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """The generated sound of a batch [B, S], and the loss of durations."""
        rows, frames = batch["dict"].shape
        wav_BS = generator(generator.condition(batch), jnp.full(rows, frames))
        if generator.duration is None:
            return wav_BS, jnp.float32(0)
        predicted_BN = generator.log_durations(batch["runs"], batch["run_count"])
        return wav_BS, losses.duration_error(predicted_BN, batch["run_frames"], batch["run_count"])

    @functools.cached_property
    def comparison(self) -> dict[str, float]:
        """Mel distances of the codec's present decoder on the held-out recordings: Griffin-Lim for the
        weight-free codec.

        Not compared: a codec without a decoder, and one whose decoder changes durations.
        """
        decoder = self.codec.decoder
        if decoder is None or not decoder.keep_durations:
            return {}
        spoken = [self.codec.decode(recording.speech) for recording in self.corpus.held_out]
        distances = mel_distances([at_level(wav) for wav in spoken], self._true, self.config.mel)
        return {f"{name}_of_codec": value for name, value in distances.items()}

    @property
    def _true(self) -> list[np.ndarray]:
        """The sound of each held-out recording's units, float32 [S]."""
        return [self.sampler.align(recording)[1].reshape(-1) for recording in self.corpus.held_out]

    def evaluate(self, model: Any) -> dict[str, float]:
        """On held-out recordings: mel distances of the generator and of the codec's present decoder; the
        error of durations in frames, and that of always predicting the training median.
        """
        generator, held_out = model["generator"], self.corpus.held_out
        voices = self.corpus.voices
        speakers = [voices.index(r.voice) if self.cfg.speakers else None for r in held_out]
        utterances = [
            Utterance({name: r.speech.codes[name] for name in self.cfg.streams}, speaker)
            for r, speaker in zip(held_out, speakers)
        ]
        made = synthesize(generator, utterances)
        figures = mel_distances(made, self._true, self.config.mel) | self.comparison
        if generator.duration is None:
            return figures
        units, frames = zip(*(vocoder_rows.runs_of(recording.speech.units) for recording in held_out))
        guess = np.median(
            np.concatenate(
                [vocoder_rows.runs_of(recording.speech.units)[1] for recording in self.corpus.train]
            )
        )
        predicted, true = np.concatenate(predict(generator, units)), np.concatenate(frames)
        return figures | {
            "frames_off": float(np.abs(predicted - true).mean()),
            "frames_off_of_median": float(np.abs(guess - true).mean()),
        }

    def describe(self) -> str:
        """Sizes and data."""
        shapes = jax.eval_shape(self.start).model
        count = {
            name: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(network))
            for name, network in shapes.items()
        }
        ignored = [stream.name for stream in self.codec.streams if stream.name not in self.cfg.streams]
        rows, seconds = self.config.train.batch_rows, self.config.segment_units * self.cfg.hop / SAMPLE_RATE
        return (
            f"vocoder: generator of {count['generator']:,} parameters, discriminators of "
            f"{count['discriminators']:,}\n"
            f"streams: {', '.join(self.cfg.streams)}; not heard: {', '.join(ignored) or 'none'}\n"
            f"data: {len(self.corpus.train):,} recordings of {len(self.corpus.voices)} voices, "
            f"{len(self.corpus.held_out)} held out\n"
            f"step: {rows} rows × {seconds:.2f} s, {self.config.train.steps:,} steps"
        )

    def finish(self, model: Any, out: Path) -> None:
        """Writes the codec with the generator as its decoder to `out/codec`, and the names of its voices, by
        number, to `out/voices.json`.
        """
        write_json(
            out / "voices.json", {str(number): voice for number, voice in enumerate(self.corpus.voices)}
        )
        decoder = make_decoder(model["generator"], self.corpus)
        save_codec(dataclasses.replace(self.codec, decoder=decoder), out / "codec")


def make_decoder(generator: Generator, corpus: Corpus) -> HifiganDecoder:
    """The generator as a decoder. Speech without pitch or style gets the commonest codes of the
    recordings.
    """
    others = [name for name in generator.cfg.streams if name != UNITS]
    usual = {name: commonest([r.speech.codes[name] for r in corpus.train]) for name in others}
    return HifiganDecoder(generator, usual, tuple(corpus.voices))


def warm_step(training: VocoderTraining, state: TrainState, batch: Batch) -> tuple[TrainState, Figures]:
    """Updates the generator by mel distance and durations."""
    weights = training.config.loss

    def loss(generator: Generator) -> tuple[jax.Array, Figures]:
        wav_BS, durations = training.speak(generator, batch)
        mel = losses.mel_distance(wav_BS, batch["wav"], training.config.mel)
        return weights.mel * mel + weights.durations * durations, {"mel": mel, "durations": durations}

    grads, figures = jax.grad(loss, has_aux=True)(state.model["generator"])
    generator, opt = training.update(state, "generator", grads)
    return _next(state, generator=(generator, opt)), figures


def adversarial_step(
    training: VocoderTraining, state: TrainState, batch: Batch
) -> tuple[TrainState, Figures]:
    """Updates the discriminators, then the generator with the updated ones. The sound is generated once for
    both.
    """
    weights, true_BS = training.config.loss, batch["wav"]
    (wav_BS, durations), pull_back = jax.vjp(
        lambda generator: training.speak(generator, batch), state.model["generator"]
    )

    def discriminate(discriminators: Discriminators) -> jax.Array:
        return losses.discriminator_loss(*_apart(discriminators(jnp.concatenate([wav_BS, true_BS]))))

    discriminator_loss, grads = jax.value_and_grad(discriminate)(state.model["discriminators"])
    discriminators, opt_d = training.update(state, "discriminators", grads)
    true = jax.lax.stop_gradient(discriminators(true_BS))

    def loss(wav_BS: jax.Array) -> tuple[jax.Array, Figures]:
        made = discriminators(wav_BS)
        terms = {
            "mel": losses.mel_distance(wav_BS, true_BS, training.config.mel),
            "features": losses.feature_distance(made, true),
        }
        terms["adversarial"] = losses.generator_loss(made)
        total = (
            weights.mel * terms["mel"]
            + weights.features * terms["features"]
            + weights.adversarial * terms["adversarial"]
        )
        return total, terms

    slope_BS, terms = jax.grad(loss, has_aux=True)(wav_BS)
    (grads,) = pull_back((slope_BS, jnp.float32(weights.durations)))
    generator, opt = training.update(state, "generator", grads)
    return _next(state, generator=(generator, opt), discriminators=(discriminators, opt_d)), {
        **terms,
        "judging": discriminator_loss,
        "durations": durations,
    }


def generator_config(sizes: GeneratorSizes, streams: Streams, voices: int) -> GeneratorConfig:
    """The generator for a codec's streams and that many voices.

    It takes units, pitch and style; other streams are ignored. UserError if its rates do not make a unit's
    samples.
    """
    size = {stream.name: stream.size for stream in streams}
    hops = {stream.name: round(SAMPLE_RATE / stream.rate) for stream in streams}
    cfg = GeneratorConfig(
        **dataclasses.asdict(sizes) | {"speakers": voices if sizes.speakers else 0},
        units=size[UNITS],
        hop=hops[UNITS],
        pitches=size.get("pitch", 0),
        pitch_hop=hops.get("pitch", 2 * hops[UNITS]),
        styles=size.get("style", 0),
        style_hop=hops.get("style", SAMPLE_RATE),
    )
    if cfg.samples(1) != cfg.hop or math.prod(cfg.rates) != cfg.hop:
        rule = (
            f"must multiply to the {cfg.hop} samples of a unit, each kernel "
            "longer than its rate by an even number"
        )
        found = f"{cfg.rates}, kernels {cfg.rate_kernels}"
        fix = "for 640 samples set generator.rates=[5,4,4,4,2], for 320 [5,4,4,4] and as many rate_kernels"
        raise UserError("generator.rates", found, rule, fix)
    return cfg


def mel_distances(spoken: list[np.ndarray], true: list[np.ndarray], cfg: MelConfig) -> dict[str, float]:
    """Distances of sounds to true ones, in nats: `mel`, the mean absolute difference of the loss's log-mels
    (of amplitude) over all, concatenated, and `mel_without_level`, that of `mfcc.log_mel` (of power, 100
    frames per second, without each sound's level).
    """
    true = [wav_S[: len(wav)] for wav_S, wav in zip(true, spoken)]
    made = [wav[: len(wav_S)] for wav, wav_S in zip(spoken, true)]
    distance = losses.mel_distance(jnp.concatenate(made)[None], jnp.concatenate(true)[None], cfg)
    shapes = [np.abs(a_FM - b_FM) for a_FM, b_FM in zip(mfcc.log_mel(made), mfcc.log_mel(true))]
    return {"mel": float(distance), "mel_without_level": float(np.concatenate(shapes).mean())}


def commonest(codes: list[np.ndarray]) -> int:
    """The most frequent code; 0 without codes."""
    return int(np.bincount(np.concatenate([np.zeros(0, np.int32), *codes]), minlength=1).argmax())


def _apart(layers: losses.Layers) -> tuple[losses.Layers, losses.Layers]:
    """Splits the outputs of each discriminator into those for made and for true sound."""
    halves = [[jnp.split(x, 2) for x in outputs] for outputs in layers]
    return [[x[0] for x in outputs] for outputs in halves], [[x[1] for x in outputs] for outputs in halves]


def _next(state: TrainState, **networks: tuple[Any, Any]) -> TrainState:
    """The state after a step, with the networks and optimizer states given."""
    model = state.model | {name: network for name, (network, _) in networks.items()}
    return TrainState(state.step + 1, model, state.opt | {name: opt for name, (_, opt) in networks.items()})

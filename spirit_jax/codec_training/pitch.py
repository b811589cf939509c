"""Trains the pitch VQ-VAE on the F0 of recordings (paper, section 3.3; van den Oord et al. 2017, with the
codebook of its appendix).

Legend: B rows, F frames (5 ms), C feature channels, N codes of a row, D width of a code, K codes of the
codebook.
"""

import functools
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.codec_training.config import PitchRun
from spirit_jax.codec_training.corpus import Recording, draw_batches, read_corpus
from spirit_jax.codec_training.loop import decoder_note
from spirit_jax.codec_training.optimizer import adam, update
from spirit_jax.core.errors import UserError
from spirit_jax.core.progress import track
from spirit_jax.runs.state import TrainState
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import load_codec, save_codec
from spirit_jax.speech.encoders.pitch import vqvae as pitch_vqvae
from spirit_jax.speech.encoders.pitch.fcpe import Fcpe, load_fcpe
from spirit_jax.speech.encoders.pitch.vqvae import PitchVqVae, init_pitch_vqvae
from spirit_jax.speech.encoders.pitch.vqvae_pitch import VqvaePitch
from spirit_jax.tokens.streams import pitch_stream

GROUP = 64  # recordings whose F0 is tracked together


class PitchTraining:
    """The network, and the moving counts and sums of its codebook (a `loop.Training`). All F0 tracks are kept
    in memory, 6 MB per hour.
    """

    def __init__(self, config: PitchRun):
        self.config = config
        self.codec = load_codec(config.corpus.codec)
        self.fcpe = load_fcpe(config.fcpe) if config.fcpe else _fcpe_of(self.codec)
        self.corpus = read_corpus(config.corpus, self.codec.fingerprint)
        self.tracks = self._track(self.corpus.train)
        self.held_out = self._track(self.corpus.held_out)
        self.optimizer = adam(config.optim)
        frames_FC = np.concatenate(self.tracks)
        self.mean_C, self.scale_C = frames_FC.mean(axis=0), frames_FC.std(axis=0) + 1e-3

    def _track(self, recordings: list[Recording]) -> list[np.ndarray]:
        """Features, float32 [F, C], F whole codes, of each recording: by FCPE, or by cross-correlation
        without it.
        """
        network = init_pitch_vqvae(self.config.network, jax.random.key(0))
        tracker = VqvaePitch(network, self.fcpe)
        groups = [recordings[i : i + GROUP] for i in range(0, len(recordings), GROUP)]
        found = []
        for group in track(groups, "F0", unit=f"× {GROUP} recordings"):
            for f0_F, vuv_F in tracker.f0_tracks([recording.load() for recording in group]):
                whole = len(f0_F) // network.cfg.frames_per_code * network.cfg.frames_per_code
                # skips tracks without a voiced frame, which have no mean, and those shorter than a code
                if np.any(vuv_F) and whole:
                    found.append(pitch_vqvae.features(network.cfg, f0_F, vuv_F)[:whole])
        if not found:
            rule = f"has {len(recordings)} recordings, none of them voiced and as long as a code"
            raise UserError("corpus.units", self.config.corpus.units, rule, "give speech")
        return found

    @property
    def learns_from(self) -> dict[str, str]:
        """The recordings."""
        return {"corpus": self.corpus.fingerprint}

    def start(self) -> TrainState:
        """Random weights, the first layer's divided and the last one's multiplied by the features'
        deviations: our choice, since F0 is in Hz.
        """
        network = init_pitch_vqvae(self.config.network, jax.random.key(self.config.train.seed))
        first, last = network.encoder.downs[0], network.decoder.out
        first.kernel_KIO[...] = first.kernel_KIO[...] / jnp.asarray(self.scale_C)[None, :, None]
        last.kernel_KIO[...] = last.kernel_KIO[...] * jnp.asarray(self.scale_C)[None, None]
        last.bias_O[...] = jnp.asarray(self.mean_C)
        codes, width = self.config.network.codes, self.config.network.encoder.width
        model = {"network": network, "count_K": jnp.zeros(codes), "sum_KD": jnp.zeros((codes, width))}
        return TrainState(jnp.zeros((), jnp.int32), model, self.optimizer.init(network))

    def batches(self) -> grain.MapDataset:
        """Random segments, float32 [B, F, C]; a track that is too short is repeated."""
        train, frames = self.config.train, self.config.segment_frames

        def cut(track_FC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            start = int(rng.integers(max(1, len(track_FC) - frames + 1)))
            return track_FC[(start + np.arange(frames)) % len(track_FC)]

        return draw_batches(self.tracks, cut, train.batch_rows, train.seed)

    def step(self, number: int) -> Any:
        """The same for all steps."""
        return self._step

    @functools.cached_property
    def _step(self) -> Any:
        return functools.partial(pitch_step, self)

    def evaluate(self, model: Any) -> dict[str, float]:
        """Of held-out tracks: root mean square error of F0 in voiced frames, and that of predicting its mean;
        share of frames whose voicing is wrong; codes used, and the exponential of their entropy.
        """
        network, names = model["network"], self.config.network.features
        codes = pitch_vqvae.encode_batch(network, self.held_out)
        made_FC = np.concatenate([pitch_vqvae.decode_f0(network, row) for row in codes])
        true_FC = np.concatenate(self.held_out)
        f0 = next(i for i, name in enumerate(names) if name != "vuv")
        voiced_F = true_FC[:, names.index("vuv")] > 0.5 if "vuv" in names else np.ones(len(true_FC), bool)
        shares = np.bincount(np.concatenate(codes), minlength=network.cfg.codes) / sum(map(len, codes))
        figures = {
            "f0_error_hz": _root_mean_square((made_FC - true_FC)[voiced_F, f0]),
            "f0_error_hz_of_mean": _root_mean_square((true_FC - self.mean_C)[voiced_F, f0]),
            "codes_used": float(np.count_nonzero(shares)),
            "perplexity": float(np.exp(-(shares * np.log(np.maximum(shares, 1e-12))).sum())),
        }
        if "vuv" in names:
            figures["voicing_error"] = float(np.mean((made_FC[:, names.index("vuv")] > 0.5) != voiced_F))
        return figures

    def describe(self) -> str:
        """Sizes and data."""
        hours = sum(map(len, self.tracks)) / 200 / 3600
        stream = pitch_stream(self.config.network.codes, self.config.network.rate)
        return (
            f"pitch VQ-VAE: {self.config.network.codes} codes of "
            f"{self.config.network.frames_per_code} frames\n"
            f"data: {len(self.tracks):,} voiced recordings, {hours:.2f} h, {len(self.held_out)} held out\n"
            f"step: {self.config.train.batch_rows} rows × {self.config.segment_frames} frames, "
            f"{self.config.train.steps:,} steps{decoder_note(self.codec, stream)}"
        )

    def finish(self, model: Any, out: Path) -> None:
        """Writes the codec with these pitch codes to `out/codec`."""
        save_codec(self.codec.replace_encoder(VqvaePitch(model["network"], self.fcpe)), out / "codec")


def _fcpe_of(codec: Codec) -> Fcpe | None:
    """The tracker of the codec's pitch encoder, where it has one."""
    return next((fcpe for encoder in codec.encoders if (fcpe := getattr(encoder, "fcpe", None))), None)


def pitch_step(
    training: PitchTraining, state: TrainState, x_BFC: jax.Array
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Updates the network by gradient, with a straight-through estimate for the codes, and the codebook by
    moving means.
    """
    scale_C = jnp.asarray(training.scale_C)[None, None]

    def loss(network: PitchVqVae) -> tuple[jax.Array, tuple[jax.Array, jax.Array, dict[str, jax.Array]]]:
        frames_B = jnp.full(len(x_BFC), x_BFC.shape[1])
        z_BND = network.encoder(x_BFC, frames_B)
        codes_BN = network.nearest(z_BND)
        q_BND = jax.lax.stop_gradient(network.codebook_KD[...][codes_BN])
        made_BFC = network.decoder(
            z_BND + jax.lax.stop_gradient(q_BND - z_BND), jnp.full(len(x_BFC), z_BND.shape[1])
        )
        figures = {
            "reconstruction": jnp.square((made_BFC - x_BFC) / scale_C).mean(),
            "commitment": jnp.square(z_BND - q_BND).mean(),
        }
        return figures["reconstruction"] + training.config.commitment * figures["commitment"], (
            z_BND,
            codes_BN,
            figures,
        )

    network = state.model["network"]
    grads, (z_BND, codes_BN, figures) = jax.grad(loss, has_aux=True)(network)
    network, opt = update(training.optimizer, network, grads, state.opt)
    key = jax.random.fold_in(jax.random.key(training.config.train.seed), state.step)
    vectors_ND, codes_N = z_BND.reshape(-1, z_BND.shape[-1]), codes_BN.reshape(-1)
    count_K, sum_KD, restarts = update_codebook(
        training.config, state.model["count_K"], state.model["sum_KD"], vectors_ND, codes_N, key
    )
    network.codebook_KD[...] = sum_KD / count_K[:, None]
    model = {"network": network, "count_K": count_K, "sum_KD": sum_KD}
    return TrainState(state.step + 1, model, opt), {**figures, "restarts": restarts}


def update_codebook(
    cfg: PitchRun,
    count_K: jax.Array,
    sum_KD: jax.Array,
    vectors_ND: jax.Array,
    codes_N: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Moving counts [K] and sums [K, D] after a step, and how many codes were restarted, each at a random
    vector with the mean count.
    """
    codes = len(count_K)
    chosen_NK = jax.nn.one_hot(codes_N, codes)
    count_K = cfg.memory * count_K + (1 - cfg.memory) * chosen_NK.sum(axis=0)
    sum_KD = cfg.memory * sum_KD + (1 - cfg.memory) * jnp.matmul(chosen_NK.T, vectors_ND, precision="highest")
    dead_K = count_K < cfg.restart_below
    drawn_KD = vectors_ND[jax.random.randint(key, (codes,), 0, len(vectors_ND))]
    usual = len(vectors_ND) / codes
    sum_KD = jnp.where(dead_K[:, None], drawn_KD * usual, sum_KD)
    return jnp.where(dead_K, usual, count_K), sum_KD, dead_K.sum().astype(jnp.float32)


def _root_mean_square(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))

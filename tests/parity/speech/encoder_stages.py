"""What an encoder computes on the way, by the names of the golden data.

Legend: S samples, C channels, T frames, D width; one row each.
"""

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.speech.encoders.wav2vec2.config import ConvNorm
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.kernels.attention import MASKED


def trace(encoder: Wav2Vec2, wavs: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Each stage's output by name for each wav: convolutions [1, C, T], the rest [1, T, D]. All are padded to
    one length.
    """
    padded = encoder.cfg.sample_count(max(encoder.cfg.frame_count(len(wav)) for wav in wavs) + 3)
    return [_trace(encoder, wav, padded) for wav in wavs]


def _trace(encoder: Wav2Vec2, wav_S: np.ndarray, padded: int) -> dict[str, np.ndarray]:
    wav_1S = np.pad(wav_S, (0, padded - len(wav_S)))[None]
    cfg, out, count = encoder.cfg, {}, len(wav_S)
    padded_out = {
        name: np.asarray(value)
        for name, value in _padded_trace(encoder, jnp.asarray(wav_1S), jnp.array([count])).items()
    }
    for i, conv in enumerate(cfg.convs):
        count = (count - conv.taps) // conv.stride + 1
        out[f"convlayer{i}"] = out["conv_features"] = padded_out.pop(f"convlayer{i}")[:, :count].transpose(
            0, 2, 1
        )
    return out | {name: value[:, :count] for name, value in padded_out.items()}


@jax.jit
def _padded_trace(encoder, wav_1S, count_1):
    moments = encoder.convs.moments(wav_1S, count_1) if encoder.cfg.conv_norm is ConvNorm.GROUP else None
    convs = encoder.convs.convolve(wav_1S[..., None], moments)
    out = {f"convlayer{i}": y_1TD for i, y_1TD in enumerate(convs)}
    inside_1T = jnp.arange(convs[-1].shape[1])[None] < encoder.cfg.frame_count(count_1)[:, None]
    x_1TD = out["feat_ln"] = encoder.conv_norm(convs[-1])
    if encoder.project is not None:
        x_1TD = out["proj"] = encoder.project(x_1TD)
    out["posconv"] = encoder.encode_positions(jnp.where(inside_1T[..., None], x_1TD, 0), inside_1T)
    x_1TD = out["enc_in"] = encoder.embed(convs[-1], inside_1T)
    for i, layer in enumerate(encoder.layers, 1):
        x_1TD = out[f"layer{i}"] = layer(x_1TD, jnp.where(inside_1T, 0.0, MASKED))
    out["features_all_layers"] = encoder.norm(x_1TD) if encoder.cfg.pre_norm else x_1TD
    return out

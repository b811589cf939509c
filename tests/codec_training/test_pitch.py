"""The pitch VQ-VAE's training: held-out F0 improves, codes are used, dead ones restart."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.codec_training.config import AdamConfig, CorpusConfig, PitchRun, StepsConfig
from spirit_jax.codec_training.pitch import PitchTraining, update_codebook
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_json
from spirit_jax.core.settings import to_dict
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.speech.encoders.pitch.vqvae_config import PitchConfig, StackConfig
from tests.codec_training.world import ONE, rows_of, write_corpus
from tests.speech.tiny_codec import with_parts
from tests.speech_codes import make_streams
from tests.verbs import run_verb

STACK = StackConfig(inner_width=16, width=8, downs=4, stride=2, depth=1, hidden_width=16, dilation_growth=3)


def recipe(units, codec, steps):
    return PitchRun(
        train=StepsConfig(steps, batch_rows=8, log_every=10, evaluate_every=0),
        corpus=CorpusConfig(str(units), str(codec), evaluated=4),
        network=PitchConfig(("norm_f0_interp", "vuv"), STACK, STACK, 12),
        segment_frames=96,
        optim=AdamConfig(rate=5e-3),
        mesh=ONE,
    )


@pytest.mark.slow
def test_training_improves_held_out_pitch_and_makes_a_codec_expressive(tmp_path):
    codec = with_parts(pitch=None)
    units, folder = write_corpus(tmp_path / "corpus", codec)
    write_json(tmp_path / "recipe.json", to_dict(recipe(units, folder, 200)))
    assert (
        run_verb(
            "train-pitch",
            UNITS_DIR=units,
            CODEC=folder,
            CONFIG=tmp_path / "recipe.json",
            OUT=tmp_path / "run",
        )
        == 0
    )
    rows = rows_of(tmp_path / "run")
    assert rows[-1]["held_out_f0_error_hz"] < 0.85 * rows[-1]["held_out_f0_error_hz_of_mean"]
    assert rows[-1]["held_out_f0_error_hz"] < 0.85 * rows[0]["held_out_f0_error_hz"]
    assert rows[-1]["held_out_codes_used"] >= 6
    assert rows[-1]["held_out_perplexity"] > 3
    made = load_codec(tmp_path / "run/codec")
    assert made.streams == make_streams(codec.streams[0].size, 12, codec.streams[1].size)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"commitment": -1.0}, "run.commitment = -1.0"),
        ({"commitment": float("nan")}, "run.commitment = nan"),
        ({"memory": 2.0}, "run.memory = 2.0"),
        ({"restart_below": float("nan")}, "run.restart_below = nan"),
        ({"segment_frames": 90}, "set segment_frames=96"),
        ({"network": PitchConfig(("vuv",), STACK, STACK, 12)}, "network.features"),
        (
            {"network": PitchConfig(("f0",), STACK, dataclasses.replace(STACK, downs=3), 12)},
            "network.decoder stride and downs",
        ),
    ],
)
def test_settings_that_cannot_train_are_told(changes, says):
    with pytest.raises(UserError, match=says):
        dataclasses.replace(recipe("units", "codec", 1), **changes)


def test_a_codebook_has_codes():
    with pytest.raises(UserError, match="pitch.codes = 0"):
        PitchConfig(("f0",), STACK, STACK, 0)


def test_any_codec_gets_pitch_codes_of_any_rate(embedded_corpus, tmp_path):
    """Also one that has pitch codes: they are replaced, and the decoder, which was made for those, is left
    out.
    """
    stack = dataclasses.replace(STACK, downs=3)
    cfg = recipe(*embedded_corpus, 1)
    network = dataclasses.replace(cfg.network, encoder=stack, decoder=stack)
    part = PitchTraining(dataclasses.replace(cfg, network=network))
    assert "decoder: left out of the new codec" in part.describe()
    part.finish(part.start().model, tmp_path)
    made, given = load_codec(tmp_path / "codec"), load_codec(embedded_corpus[1])
    assert [stream.name for stream in made.streams] == ["units", "pitch", "style"]
    assert (made.streams[1].size, made.streams[1].rate) == (12, 25.0)
    assert made.encoders[0].stream == given.encoders[0].stream
    assert made.decoder is None


def test_the_codebook_is_the_moving_mean_and_dead_codes_restart():
    cfg = recipe("units", "codec", 1)
    vectors = jnp.array([[1.0, 0.0], [3.0, 0.0], [0.0, 8.0], [0.0, 8.0]])
    count, total = jnp.array([2.0, 2.0, 0.5]), jnp.array([[2.0, 0.0], [0.0, 16.0], [50.0, 50.0]])
    count, total, restarts = update_codebook(
        cfg, count, total, vectors, jnp.array([0, 0, 1, 1]), jax.random.key(0)
    )
    book = np.asarray(total / count[:, None])
    np.testing.assert_allclose(book[0], [(0.99 * 2 + 0.01 * 4) / 2, 0], rtol=1e-6)
    np.testing.assert_allclose(book[1], [0, 8], rtol=1e-6)
    assert restarts == 1
    assert any(np.allclose(book[2], vector) for vector in vectors)
    assert count[2] == pytest.approx(4 / 3)

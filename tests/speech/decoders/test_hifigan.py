"""The generator and its output, on small random weights."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.decoders.hifigan import Generator, read_generator
from spirit_jax.speech.decoders.hifigan_config import GeneratorConfig
from spirit_jax.speech.weights.readers import RandomReader
from tests.speech.tiny_encoders import Varied

SMALL = GeneratorConfig(
    rates=(4, 2),
    rate_kernels=(8, 4),
    channels=8,
    block_kind=1,
    block_kernels=(3, 5),
    block_dilations=((1, 3), (1, 2)),
    units=20,
    width=4,
    hop=8,
    pitches=6,
    pitch_hop=16,
    styles=5,
    style_hop=200,
    speakers=3,
    duration_width=6,
)
PLAIN = dataclasses.replace(SMALL, pitches=0, styles=0)
RNG = np.random.default_rng(0)


def lively(cfg):
    """Random weights of a size that makes a signal."""
    return Generator(cfg, Varied(0))


@pytest.fixture(scope="module")
def plain():
    return lively(PLAIN)


@pytest.fixture(scope="module")
def expressive():
    return lively(SMALL)


def config_json(cfg):
    """A published config.json of these sizes."""
    return {
        "resblock": str(cfg.block_kind),
        "upsample_rates": cfg.rates,
        "upsample_kernel_sizes": cfg.rate_kernels,
        "embedding_dim": cfg.width,
        "upsample_initial_channel": cfg.channels,
        "resblock_kernel_sizes": cfg.block_kernels,
        "resblock_dilation_sizes": cfg.block_dilations,
        "num_embeddings": cfg.units,
        "code_hop_size": cfg.hop,
        "multispkr": "from_input_file",
        "num_speakers": cfg.speakers,
        "num_f0_tokens": cfg.pitches,
        "f0_hop_size": cfg.pitch_hop,
        "num_style_tokens": cfg.styles,
        "style_hop_size": cfg.style_hop,
        "model_in_dim": cfg.width * len(cfg.tables),
        "dur_predictor_params": {
            "encoder_embed_dim": cfg.width,
            "var_pred_hidden_dim": cfg.duration_width,
            "var_pred_kernel_size": 3,
        },
        "learning_rate": 2e-4,
    }


def test_config_reads_what_is_published():
    assert GeneratorConfig.from_json(json.loads(json.dumps(config_json(SMALL)))) == SMALL
    values = config_json(SMALL)
    with pytest.raises(UserError, match="model_in_dim"):
        GeneratorConfig.from_json(values | {"model_in_dim": 3})
    with pytest.raises(UserError, match="upsample_rates"):
        GeneratorConfig.from_json({key: value for key, value in values.items() if key != "upsample_rates"})
    with pytest.raises(UserError, match="resblock"):
        GeneratorConfig.from_json(values | {"resblock": "3"})
    for wrong in (
        {"upsample_rates": [], "upsample_kernel_sizes": []},
        {"resblock_kernel_sizes": [], "resblock_dilation_sizes": []},
    ):
        with pytest.raises(UserError, match="one at least"):
            GeneratorConfig.from_json(values | wrong)
    with pytest.raises(UserError, match="var_pred_kernel_size = 4: must be odd"):
        GeneratorConfig.from_json(
            values | {"dur_predictor_params": values["dur_predictor_params"] | {"var_pred_kernel_size": 4}}
        )
    for wrong in (
        {"upsample_rates": None},
        {"upsample_rates": "42"},
        {"upsample_initial_channel": "48"},
        {"dur_predictor_params": 3},
    ):
        with pytest.raises(UserError, match=r"config\.json"):
            GeneratorConfig.from_json(values | wrong)
    for wrong in (
        {"upsample_kernel_sizes": [8, 1]},
        {"resblock_kernel_sizes": [4, 5]},
        {"upsample_rates": [4, 0]},
    ):
        with pytest.raises(UserError, match="kernels"):
            GeneratorConfig.from_json(values | wrong)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"snake": True}, "generator config.json snake = True: is a key that is neither read"),
        ({"dur_predictor_params": {"encoder_embed_dim": 99}}, "encoder_embed_dim = 99: must be 4"),
        ({"dur_predictor_params": {"gated": 1}}, "dur_predictor_params gated = 1: is a key"),
    ],
)
def test_a_key_that_nothing_reads_stops_it(changed, says):
    """Keys of the open recipe's expresso_config.json are known."""
    recipe = (
        "adam_b1 dist_config fmax_for_loss input_training_file multistyle num_freq num_workers win_size f0"
    )
    values = config_json(SMALL) | dict.fromkeys(recipe.split())
    assert GeneratorConfig.from_json(values | {"num_styles": 7}) == SMALL
    with pytest.raises(UserError, match=says):
        GeneratorConfig.from_json(values | changed)


@pytest.mark.parametrize("kind", [1, 2])
def test_length_and_reach(kind):
    """A frame changes its own samples and those within reach, no others; an odd kernel excess gives one
    sample more.
    """
    cfg = dataclasses.replace(PLAIN, block_kind=kind, rate_kernels=(7, 4))
    generator = lively(cfg)
    x_BTD = RNG.standard_normal((1, 60, 8)).astype(np.float32)
    speak = jax.jit(lambda x: generator(x, jnp.full(1, 60)))
    # alone, since rows round differently
    ((wav_S,), (other_S,)) = (np.asarray(speak(x)) for x in (x_BTD, x_BTD + (np.arange(60) == 30)[:, None]))
    assert len(wav_S) == cfg.samples(60) == (60 * 4 + 1) * 2
    changed = np.flatnonzero(wav_S != other_S)
    assert changed.min() <= 30 * 8 <= changed.max()
    assert (30 - cfg.reach) * 8 <= changed.min()
    assert changed.max() < (31 + cfg.reach) * 8


def test_padding_changes_nothing(expressive):
    x_BTD = RNG.standard_normal((2, 20, 16)).astype(np.float32)
    speak = jax.jit(lambda x, stop: expressive(x, stop))
    wav_BS = speak(x_BTD, np.array([20, 13]))
    np.testing.assert_allclose(wav_BS[1, : 13 * 8], speak(x_BTD[1:, :13], np.array([13]))[0], atol=1e-6)
    assert np.abs(wav_BS).max() > 1e-3


def test_random_weights_have_the_same_structure(expressive):
    drawn = jax.eval_shape(lambda key: Generator(SMALL, RandomReader(key)), jax.random.key(0))
    assert jax.tree.structure(drawn) == jax.tree.structure(expressive)
    assert [leaf.shape for leaf in jax.tree.leaves(drawn)] == [
        leaf.shape for leaf in jax.tree.leaves(expressive)
    ]


def write_folder(folder, generator, **arrays):
    """The generator as a published folder, with `arrays` added, or left out where None."""
    torch = pytest.importorskip("torch")
    weights = {}

    def conv(name, module, axes=(2, 1, 0), normed=True):
        weight = np.asarray(module.kernel_KIO[...]).transpose(axes)
        weights[f"{name}.bias"] = np.asarray(module.bias_O[...])
        if normed:
            weights[f"{name}.weight_v"] = weight
            weights[f"{name}.weight_g"] = np.linalg.norm(weight.reshape(len(weight), -1), axis=1)[
                :, None, None
            ]
        else:
            weights[f"{name}.weight"] = weight

    for name, table in generator.tables.items():
        weights[f"{name}.weight"] = np.asarray(table[...])
    conv("conv_pre", generator.pre)
    conv("conv_post", generator.post)
    for i, (up, blocks) in enumerate(zip(generator.ups, generator.stages)):
        conv(f"ups.{i}", up, (1, 2, 0))
        for j, block in enumerate(blocks):
            for k, path in enumerate(block.paths):
                for name, module in zip(("convs1", "convs2"), path):
                    conv(f"resblocks.{i * len(blocks) + j}.{name}.{k}", module)
    for i, (module, scale, shift) in enumerate(
        zip(generator.duration.convs, generator.duration.scales, generator.duration.shifts), 1
    ):
        conv(f"dur_predictor.conv{i}.0", module, normed=False)
        weights |= {
            f"dur_predictor.ln{i}.weight": np.asarray(scale[...]),
            f"dur_predictor.ln{i}.bias": np.asarray(shift[...]),
        }
    weights |= {
        "dur_predictor.proj.weight": np.asarray(generator.duration.proj_D[...])[None],
        "dur_predictor.proj.bias": np.asarray(generator.duration.bias[...]),
    }
    weights = {name: torch.tensor(array) for name, array in (weights | arrays).items() if array is not None}
    torch.save({"generator": weights}, folder / "generator.pt")
    (folder / "config.json").write_text(json.dumps(config_json(generator.cfg)))


def test_reading_a_folder_accounts_for_every_weight(expressive, tmp_path):
    write_folder(tmp_path, expressive)
    read = read_generator(tmp_path)
    assert read.cfg == expressive.cfg
    for ours, theirs in zip(jax.tree.leaves(expressive), jax.tree.leaves(read)):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for wrong, says in (
        ({"conv_post.bias": None}, "absent"),
        ({"conv_last.bias": np.zeros(3, np.float32)}, "conv_last.bias"),
        ({"dict.weight": np.zeros((3, 4), np.float32)}, "must have shape"),
    ):
        write_folder(tmp_path, expressive, **wrong)
        with pytest.raises(UserError, match=says):
            read_generator(tmp_path)

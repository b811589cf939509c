"""Configurations survive JSON, refuse nonsense with a useful line, and every recipe loads."""

import dataclasses
from pathlib import Path

import pytest

from spirit_jax import config as c
from spirit_jax.codec_training.config import MelNetworkRun, PitchRun, StyleRun, VocoderRun
from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import from_dict, load, override, to_dict
from spirit_jax.paper.experiment import Experiment
from spirit_jax.tokens.interleave import Arrangement

RUN = c.RunConfig(
    c.ModelConfig(rows=512),
    c.DataConfig("tok", (c.Source("a", Arrangement.ASR, 2.0),)),
    c.TrainConfig(steps=10, batch_rows=4),
)
SHARED = {"__init__", "spirit"}  # what recipes are made of
RECIPES = sorted(
    path for path in (Path(__file__).parent.parent / "tpu_configs").glob("**/*.py") if path.stem not in SHARED
)

CODEC_RECIPES = {
    "mel_network": MelNetworkRun,
    "vocoder": VocoderRun,
    "vocoder_cpu": VocoderRun,
    "pitch_vqvae": PitchRun,
    "style": StyleRun,
}


def test_json_round_trip_is_identity():
    assert from_dict(to_dict(RUN), c.RunConfig) == RUN


def test_gradients_are_not_summed_in_less_than_they_are_computed_in():
    assert override(RUN, ["optim.reduce_dtype=bfloat16"]).optim.reduce_dtype is c.Dtype.BFLOAT16
    with pytest.raises(UserError, match="set optim.reduce_dtype=float32"):
        override(RUN, ["optim.reduce_dtype=bfloat16", "model.dtype=float32"])


def test_override_is_typed():
    new = override(
        RUN,
        ["optim.peak_lr=1e-3", "model.dtype=float32", "data.text_span_words=[2,3]", "checkpoint.init_from=x"],
    )
    assert new.optim.peak_lr == 1e-3
    assert new.model.dtype is c.Dtype.FLOAT32
    assert new.data.text_span_words == (2, 3)
    assert new.checkpoint.init_from == "x"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("optim.peak_l=1", "did you mean optim.peak_lr"),
        ("model.heads=x", "model.heads"),
        ("model.kv_heads=5", "must divide"),
        ("optim.peak_lr=-1", "above 0"),
        ("mesh.data=-1", "at most one is -1"),
        ("nonsense", "KEY=VALUE"),
        ("model.heads.deep=1", "model.heads"),
        ('data.sources=[{"shrd": 1}]', "shards"),
        ("train.accumulate=3", "must divide"),
        ("train.seed=-1", "at least 0"),
        ("train.seed=4294967296", "at least 0 and below"),
        ("train.evaluate_every=-1", "at least 0"),
        ("checkpoint.keep_every=0", "above 0"),
        ("data.workers=-1", "at least 0"),
        ("data.sequence_length=1", "at least 2"),
        ("optim.peak_lr=Infinity", "above 0"),
        ("optim.warmup_steps=-5", "at least 0"),
        ("optim.weight_decay=NaN", "at least 0"),
        ("optim.b2=1", "below 1"),
        ("optim.final_lr_fraction=2", "between 0 and 1"),
    ],
)
def test_mistakes_are_one_useful_line(setting, says):
    with pytest.raises(UserError, match=says) as caught:
        override(RUN, [setting])
    assert "\n" not in str(caught.value)


def test_paths_resolve_against_a_root():
    moved = c.resolve_paths(dataclasses.replace(RUN, checkpoint=c.CheckpointConfig(init_from="w")), "/data")
    assert (moved.data.tokenizer, moved.data.sources[0].shards, moved.checkpoint.init_from) == (
        "/data/tok",
        "/data/a",
        "/data/w",
    )
    assert moved.data.codec is None


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads(path):
    kind = Experiment if path.parent.name == "paper" else CODEC_RECIPES.get(path.stem, c.RunConfig)
    made = load(path, kind)
    assert from_dict(to_dict(made), kind) == made
    if kind is not c.RunConfig:
        with pytest.raises(UserError, match="this command needs a RunConfig"):
            load(path, c.RunConfig)

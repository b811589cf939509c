import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest

from spirit_jax.config import MeshConfig, RopeScaling
from spirit_jax.core.errors import UserError
from spirit_jax.sharding import make_mesh
from spirit_jax.tokens.text import train_tokenizer
from spirit_jax.training.start_weights import check_start, start_model
from tests.speech_codes import make_streams
from tests.training.tiny import MODEL, VOCABULARY, make_config, make_llama
from tests.weights_folder import save_weights

PRINT = "0" * 16


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start") / "weights"
    llama = make_llama(dataclasses.replace(MODEL, rope_theta=10_000.0), seed=5)
    save_weights(folder, llama, VOCABULARY)
    return folder, llama


def from_weights(folder, **model):
    return make_config(checkpoint={"init_from": str(folder)}, model=model)


def test_training_starts_from_the_weights_with_its_own_theta(weights):
    folder, llama = weights
    config = from_weights(folder, rope_theta=100_000.0)
    check_start(config, VOCABULARY, PRINT)
    model = start_model(config, make_mesh(MeshConfig(1, 2, 2), jax.devices()[:4]))
    assert model.cfg == config.model
    assert len(model.embed_VD[...].sharding.device_set) == 4
    for a, b in zip(jax.tree.leaves(model), jax.tree.leaves(llama), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize(
    ("name", "value"), [("rows", 256), ("layers", 3), ("width", 32), ("tied", True), ("norm_eps", 1e-6)]
)
def test_other_shapes_are_refused_naming_both(weights, name, value):
    with pytest.raises(
        UserError,
        match=re.escape(
            f"model.{name} = {json.dumps(value)}: the weights in {weights[0]} have "
            f"{json.dumps(getattr(MODEL, name))}"
        ),
    ):
        check_start(from_weights(weights[0], **{name: value}), VOCABULARY, PRINT)


def test_another_rotary_scaling_is_refused_with_the_setting(weights):
    with pytest.raises(
        UserError, match=r'model.rope_scaling = \{"factor":8.0.* have null; set model.rope_scaling=null'
    ):
        check_start(from_weights(weights[0], rope_scaling=RopeScaling()), VOCABULARY, PRINT)


def test_another_tokenizer_is_refused_naming_both(weights, tmp_path):
    folder = shutil.copytree(weights[0], tmp_path / "weights")
    tokenizer = train_tokenizer(["a cat sat"] * 50, 270, folder / "tokenizer.model")
    check_start(from_weights(folder), VOCABULARY, tokenizer.fingerprint)
    with pytest.raises(UserError, match=f"tokenizer = {PRINT}.*have {tokenizer.fingerprint}"):
        check_start(from_weights(folder), VOCABULARY, PRINT)


def test_another_vocabulary_is_refused_naming_both(weights):
    with pytest.raises(UserError, match=r"'size': 21.*'size': 20"):
        check_start(
            from_weights(weights[0]), dataclasses.replace(VOCABULARY, streams=make_streams(21)), PRINT
        )


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        check_start(from_weights(tmp_path / "nowhere"), VOCABULARY, PRINT)


def test_without_a_folder_weights_are_random_by_seed():
    mesh = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
    first, again, other = (
        start_model(make_config(train={"seed": seed}), mesh).embed_VD[...] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)

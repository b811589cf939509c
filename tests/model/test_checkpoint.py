import concurrent.futures
import dataclasses
import shutil
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from orbax.checkpoint import v1 as ocp

from spirit_jax.config import Dtype, MeshConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, write_json
from spirit_jax.core.settings import to_dict
from spirit_jax.model.checkpoint import find_stored_model, finished_steps, load_model
from spirit_jax.model.llama import abstract
from spirit_jax.sharding import make_mesh
from tests.generation.tiny import CONFIG, VOCABULARY, llama
from tests.training.tiny import make_config
from tests.weights_folder import save_weights

MODEL = llama()


def mesh_and_shardings(sizes):
    mesh = make_mesh(MeshConfig(*sizes), jax.devices()[: np.prod(sizes)])
    return mesh, jax.tree.map(lambda a: a.sharding, abstract(CONFIG, mesh))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A tokenizer's and a codec's folder."""
    root = tmp_path_factory.mktemp("parts")
    for name in ("text/tokenizer.model", "text/tokenizer_config.json", "text/notes", "codec/codec.json"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
    return root


@pytest.fixture(scope="module")
def saved(tmp_path_factory, parts):
    """Saved from eight devices."""
    folder = tmp_path_factory.mktemp("saved") / "weights folder"
    save_weights(
        folder,
        jax.device_put(MODEL, mesh_and_shardings((2, 2, 2))[1]),
        VOCABULARY,
        parts / "text",
        parts / "codec",
        {"from": "here"},
    )
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(saved, tmp_path / "copy")


def assert_same_weights(llama, expected=MODEL):
    for a, b in zip(jax.tree.leaves(llama), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("sizes", [(1, 4, 1), (1, 1, 2)])
def test_weights_are_equal_to_the_bit_on_another_mesh(saved, sizes):
    mesh, shardings = mesh_and_shardings(sizes)
    loaded = load_model(saved, mesh)
    llama = loaded.llama
    assert loaded.config == CONFIG
    assert jax.tree.structure(llama) == jax.tree.structure(MODEL)
    assert_same_weights(llama)
    assert jax.tree.all(jax.tree.map(lambda x, s: x.sharding.is_equivalent_to(s, x.ndim), llama, shardings))


def test_a_folder_contains_all_that_is_needed(saved):
    loaded = load_model(saved)
    assert loaded.config == loaded.llama.cfg == CONFIG
    assert {len(x.devices()) for x in jax.tree.leaves(loaded.llama)} == {1}
    assert_same_weights(loaded.llama)
    assert loaded.vocabulary == VOCABULARY
    assert (loaded.tokenizer_path / "tokenizer.model").read_text() == "text/tokenizer.model"
    assert (loaded.codec_path / "codec.json").read_text() == "codec/codec.json"
    assert {path.name for path in saved.iterdir()} == {
        "config.json",
        "weights",
        "tokenizer.model",
        "tokenizer_config.json",
        "codec",
    }
    assert find_stored_model(saved).origin == {"from": "here"}


def test_weights_have_the_type_of_the_activations_which_gives_the_same_numbers(saved, copy):
    """A float32 model stays float32; one with bfloat16 activations needs half of that memory."""
    assert {x.dtype for x in jax.tree.leaves(load_model(saved).llama)} == {np.dtype(np.float32)}
    asked = load_model(saved, dtype=Dtype.BFLOAT16)
    config = read_json(copy / "config.json")
    write_json(copy / "config.json", config | {"model": config["model"] | {"dtype": "bfloat16"}})
    stored = load_model(copy)
    half = dataclasses.replace(CONFIG, dtype=Dtype.BFLOAT16)
    assert asked.config == asked.llama.cfg == stored.config == half
    assert_same_weights(asked.llama, jax.tree.map(lambda x: x.astype(jnp.bfloat16), MODEL))
    assert_same_weights(asked.llama, stored.llama)
    whole = jax.tree.unflatten(jax.tree.structure(asked.llama), jax.tree.leaves(MODEL))
    ids_BT = np.arange(24, dtype=np.int32).reshape(2, 12)
    slots_BT = np.broadcast_to(np.arange(12, dtype=np.int32), (2, 12))
    hidden = jax.jit(lambda m: m.hidden(ids_BT, slots_BT)[0])
    np.testing.assert_array_equal(hidden(asked.llama), hidden(whole))


def test_a_run_gives_its_latest_step_or_the_one_named(tmp_path):
    config = dataclasses.replace(make_config(), model=CONFIG)
    write_json(tmp_path / "config.json", to_dict(config))
    write_json(tmp_path / "vocabulary.json", VOCABULARY.to_dict())
    (tmp_path / "tokenizer.model").write_bytes(b"stand-in")
    (tmp_path / "checkpoints" / "12.partial").mkdir(parents=True)
    later = jax.tree.map(lambda x: x + 1, MODEL)
    for step, weights in ((9, MODEL), (10, later)):
        ocp.save_checkpointables(tmp_path / "checkpoints" / str(step), {"model": nnx.as_pure(weights)})
    loaded = load_model(tmp_path)
    assert_same_weights(loaded.llama, later)
    assert (loaded.data, loaded.vocabulary, loaded.tokenizer_path, loaded.codec_path) == (
        config.data,
        VOCABULARY,
        tmp_path,
        None,
    )
    assert_same_weights(load_model(tmp_path / "checkpoints" / "9").llama)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(UserError, match="contains no model"):
        load_model(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="no finished step"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c | {"format": 0}, "not of format 1"),
        (lambda c: {key: c[key] for key in c if key != "vocabulary"}, "not of format 1"),
        (lambda c: c | {"model": c["model"] | {"rows": "many"}}, "rows = many"),
        (lambda c: c | {"model": c["model"] | {"rows": 256}}, "damaged"),
        (lambda c: c | {"model": c["model"] | {"layers": 3}}, "damaged"),
        (lambda c: c | {"model": c["model"] | {"kv_heads": 3}}, "must divide"),
        (lambda c: c | {"vocabulary": {}}, "vocabulary keys"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(copy, change, complaint):
    write_json(copy / "config.json", change(read_json(copy / "config.json")))
    with pytest.raises(UserError, match=complaint):
        load_model(copy)


def test_damaged_weights_are_refused(copy):
    (copy / "config.json").rename(copy / "config.txt")
    with pytest.raises(UserError, match="config.json"):
        load_model(copy)
    (copy / "config.txt").rename(copy / "config.json")
    for path in (copy / "weights").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match="damaged"):
        load_model(copy)


def test_a_folder_of_a_bucket_that_ends_while_it_is_read_has_no_steps(bucket):
    """A bucket's folder is there as long as it has files."""
    unfinished, stop = bucket / "checkpoints/5.orbax-checkpoint-tmp/array", threading.Event()

    def come_and_go():
        while not stop.is_set():
            unfinished.write_text("half")
            unfinished.unlink()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        coming = pool.submit(come_and_go)
        try:
            assert all(finished_steps(bucket / "checkpoints") == [] for _ in range(100))
        finally:
            stop.set()
        coming.result()
    assert finished_steps(bucket / "another") == []

import json
import os
import pickle

import ml_dtypes
import numpy as np
import pytest
from safetensors.flax import save_file

from spirit_jax.core.errors import UserError
from spirit_jax.speech.weights.torch_files import Tensors, Unread, read_folder, read_pickle, require_keys


class Malice:
    def __reduce__(self):
        return os.system, ("touch /tmp/malice",)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs requirements-parity.txt")


def write_folder(folder, arrays):
    (folder / "config.json").write_text('{"hidden_size": 2}')
    save_file(arrays, folder / "model.safetensors")


def test_a_safetensors_folder_is_read_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    write_folder(tmp_path, {"a": np.array([1.5, 2.0], ml_dtypes.bfloat16), "b": np.ones((2, 3), np.float32)})
    config, arrays = read_folder(tmp_path)
    assert config == {"hidden_size": 2}
    assert {name: (array.dtype, array.tolist()) for name, array in arrays.items()} == {
        "a": (np.float32, [1.5, 2.0]), "b": (np.float32, np.ones((2, 3)).tolist()),
    }  # fmt: skip
    (tmp_path / "weights.pt").write_bytes(b"x")
    with pytest.raises(UserError, match=r"requirements-parity\.txt"):
        read_pickle(tmp_path / "weights.pt")


def test_shards(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    save_file({"a": np.zeros(1, np.float32)}, tmp_path / "one.safetensors")
    save_file({"b": np.zeros(2, np.float32)}, tmp_path / "two.safetensors")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert set(read_folder(tmp_path)[1]) == {"a", "b"}
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(UserError, match=r"two\.safetensors"):
        read_folder(tmp_path)
    for content in ("{}", '{"weight_map": 3}'):
        (tmp_path / "model.safetensors.index.json").write_text(content)
        with pytest.raises(UserError, match="weight_map|must be a dictionary"):
            read_folder(tmp_path)


def test_a_folder_without_weights(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="neither"):
        read_folder(tmp_path)


def test_tensors_become_arrays(torch, tmp_path):
    torch.save(
        {"a": torch.ones(2, dtype=torch.bfloat16), "b": [torch.arange(3), "text"], "c": ({"d": 1.5},)},
        tmp_path / "file.pt",
    )
    content = read_pickle(tmp_path / "file.pt")
    assert content["a"].dtype == np.float32
    assert content["b"][0].tolist() == [0, 1, 2]
    assert content["b"][1] == "text"
    assert content["c"] == ({"d": 1.5},)


def test_a_pickle_that_wants_more_is_refused(torch, tmp_path):
    torch.save({"a": Malice()}, tmp_path / "evil.pt")
    for numpy_arrays in (False, True):
        with pytest.raises(UserError, match=r"only tensors and plain containers .*posix\.system"):
            read_pickle(tmp_path / "evil.pt", numpy_arrays)
    assert not os.path.exists("/tmp/malice")


def test_other_pickles_are_refused_in_one_line(torch, tmp_path, recwarn):
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Malice()))
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    recwarn.clear()
    for name, message in (("raw", "a pickle of another kind"), ("script", "TorchScript archives")):
        with pytest.raises(UserError, match=message) as error:
            read_pickle(tmp_path / f"{name}.pt")
        assert len(str(error.value).splitlines()) == 1
    assert not len(recwarn)
    assert not os.path.exists("/tmp/malice")


def test_numpy_arrays_only_where_they_are_expected(torch, tmp_path):
    torch.save({"a": np.arange(3.0)}, tmp_path / "array.pt")
    assert read_pickle(tmp_path / "array.pt", numpy_arrays=True)["a"].tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="_reconstruct"):
        read_pickle(tmp_path / "array.pt")


class Symbols:
    """An object of another project."""

    def __init__(self):
        self.symbols = ["a", "b"]


def test_objects_are_read_without_their_code(torch, tmp_path):
    torch.save({"a": torch.ones(2), "state": [Symbols()]}, tmp_path / "file.pt")
    name = f"{Symbols.__module__}.Symbols"
    content = read_pickle(tmp_path / "file.pt", without_code=[name])
    assert content["a"].tolist() == [1, 1]
    assert type(content["state"][0]) is Unread
    assert content["state"][0].__dict__ == {"symbols": ["a", "b"]}
    with pytest.raises(UserError, match=rf"it asks for {name}\); then this$"):
        read_pickle(tmp_path / "file.pt", without_code=["another.Class"], fix="then this")


@pytest.mark.parametrize("content", [b"", b"junk" * 9, b"PK\x03\x04junk", b"\x80\x02}q\x00."])
def test_damaged_files(torch, tmp_path, content):
    (tmp_path / "file.pt").write_bytes(content)
    (tmp_path / "model.safetensors").write_bytes(content)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"file\.pt"):
        read_pickle(tmp_path / "file.pt")
    with pytest.raises(UserError, match=r"model\.safetensors"):
        read_folder(tmp_path)


def test_every_tensor_is_accounted_for(capsys):
    tensors = Tensors(
        "file", {"a": np.zeros((2, 3)), "b.x": np.zeros(1), "b.y": np.zeros(1), "bb": np.zeros(1)}
    )
    assert tensors.take("a", (2, 3)).dtype == np.float32
    with pytest.raises(UserError, match="file weight c = absent"):
        tensors.take("c", (1,))
    with pytest.raises(UserError, match=r"must have shape \(3, 2\)"):
        tensors.take("a", (3, 2))
    for value, message in ((3, "must be an array"), (np.array([0, np.nan]), "NaN or infinite")):
        with pytest.raises(UserError, match=message):
            Tensors("file", {"a": value}).take("a", (2,))
    tensors.ignore("b.")
    with pytest.raises(UserError, match="file weight = bb"):
        tensors.finish()
    tensors.ignore("bb")
    tensors.finish()
    assert capsys.readouterr().err == "file: not needed here and ignored: b.x, b.y, bb\n"


def test_keys_of_a_file():
    require_keys({"a": 1, "b": 2}, "file", ("a",))
    for content in ({"b": 1}, [1]):
        with pytest.raises(UserError, match="must be a dictionary with a"):
            require_keys(content, "file", ("a",))
    with pytest.raises(UserError, match="must be a dictionary with weights"):
        require_keys({"a": 1, 3: 2}, "file")

import numpy as np
import pytest
from safetensors import safe_open

from spirit_jax.model_io.tensor_files import Entry, write_safetensors


def test_safetensors_reads_what_was_written_in_blocks(tmp_path):
    rng, expected, entries = np.random.default_rng(0), {}, []
    for dtype in ("float32", "float16", "bfloat16"):
        for shape in ((7,), (6, 5), (9, 3)):
            name = f"{dtype} {shape}"
            expected[name] = rng.standard_normal(shape).astype(np.dtype(dtype))
            entries.append(Entry(name, dtype, shape, np.array_split(expected[name], 4)))
    entries.append(Entry("turned", "float32", (5, 6), [np.arange(30, dtype=np.float32).reshape(6, 5).T]))
    write_safetensors(tmp_path / "a.safetensors", entries)
    with safe_open(tmp_path / "a.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt"}
        assert set(file.keys()) == {*expected, "turned"}
        for name, array in expected.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)
            assert file.get_tensor(name).dtype == array.dtype
        np.testing.assert_array_equal(
            file.get_tensor("turned"), np.arange(30, dtype=np.float32).reshape(6, 5).T
        )


def test_blocks_that_do_not_make_up_the_tensor_are_noticed(tmp_path):
    with pytest.raises(AssertionError):
        write_safetensors(
            tmp_path / "a.safetensors", [Entry("a", "float32", (4,), [np.zeros(3, np.float32)])]
        )

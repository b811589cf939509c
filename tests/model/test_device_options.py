import argparse

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.model.device_options import add_dtype_argument, add_mesh_argument, read_mesh


def parse(*words):
    parser = argparse.ArgumentParser()
    add_mesh_argument(parser)
    add_dtype_argument(parser)
    return parser.parse_args(words)


def test_sizes_by_axis():
    assert read_mesh(parse("--mesh", "data=2", "tensor=4").mesh) == {"data": 2, "tensor": 4}
    assert read_mesh(parse().mesh) == {}
    assert parse("--dtype", "bfloat16").dtype == "bfloat16"
    assert parse().dtype is None


@pytest.mark.parametrize("words", ["context=2", "tensor", "tensor=0", "tensor=-1", "tensor=x", "4"])
def test_other_words_are_refused(words):
    with pytest.raises(UserError, match="--mesh = .*must be AXIS=SIZE.*for example --mesh tensor=4"):
        read_mesh([words])
    with pytest.raises(UserError, match="at most once"):
        read_mesh(["tensor=2", "tensor=4"])

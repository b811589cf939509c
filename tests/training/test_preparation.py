import dataclasses

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.training.data.alignment import Alignment
from spirit_jax.training.preparation import describe, prepare
from tests.training.tiny import make_config, make_data

ONE = {"data": 1, "fsdp": 1, "tensor": 1}
pytestmark = pytest.mark.usefixtures("devices_of_the_mesh")


def prepare_run(out, **changes):
    return prepare(make_config(**{"mesh": ONE, **changes}), out, make_data())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train": {"batch_rows": 6}, "mesh": {"data": 2, "fsdp": 2, "tensor": 1}},
            "divisible by data × fsdp = 4",
        ),
        (
            {"data": {"sequence_length": 62}, "mesh": {"fsdp": 1, "context": 4, "tensor": 1}},
            "sequence_length = 62: must be divisible by mesh.context = 4",
        ),
        ({"model": {"rows": 32}}, "the vocabulary has 62 ids"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        prepare_run(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_describe_tells_parameters_mesh_mixture_and_tokens(tmp_path):
    text = describe(prepare_run(tmp_path / "run"))
    for part in (
        "parameters",
        "data 1 × fsdp 1",
        "0-interleaved 50% of tokens (30 records)",
        "4 rows × 64 = 256 tokens",
    ):
        assert part in text


def test_describe_says_what_share_is_aligned_and_what_could_not_be_compared(tmp_path):
    data = make_data()
    some = dataclasses.replace(data.train[0], alignment=Alignment(1000, 250))
    frozen = dataclasses.replace(data.train[1], remark="its shards don't say")
    data = dataclasses.replace(data, train=(some, frozen, data.train[2]))
    text = describe(prepare(make_config(mesh=ONE), tmp_path / "run", data))
    assert "(30 records: 25.0% aligned, 75.0% unaligned of 1,000 records read)" in text
    assert "note: 1-speech: its shards don't say" in text

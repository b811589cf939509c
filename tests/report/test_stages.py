import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_jsonl
from spirit_jax.report.stages import read_stages


def test_calls_of_a_stage_are_added_up_in_the_order_of_the_first(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"command": "data_prep align", "out": "aligned", "seconds": 2}])
    lines = [
        ("eval", "after.json", 1.5),
        ("train", None, 4.25),
        ("eval", "before.json", 1),
        ("train", None, 1),
    ]
    rows = [dict(zip(("command", "out", "seconds"), line)) for line in lines]
    write_jsonl(tmp_path / "b.jsonl", rows)
    assert list(read_stages([tmp_path / "a.jsonl", tmp_path / "b.jsonl"]).items()) == [
        ("data_prep align aligned", 2),
        ("eval after.json", 1.5),
        ("train", 5.25),
        ("eval before.json", 1),
    ]


@pytest.mark.parametrize("row", [{}, {"command": "train"}, {"command": 1, "seconds": 2}])
def test_another_file_is_a_mistake(tmp_path, row):
    write_jsonl(tmp_path / "a.jsonl", [row])
    with pytest.raises(UserError, match="a.jsonl line 1"):
        read_stages([tmp_path / "a.jsonl"])
    with pytest.raises(UserError, match="no such file"):
        read_stages([tmp_path / "b.jsonl"])

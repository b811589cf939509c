"""Rows are the same whether one process makes them or several."""

from data_prep.shards import token_shards
from data_prep.shards.card import CARD
from spirit_jax.core.files import read_json
from spirit_jax.datasets.shards import find_version
from tests.data_prep.conftest import prepare


def test_several_processes_write_the_same(stages, tmp_path, monkeypatch):
    monkeypatch.setattr(token_shards, "GROUP_ROWS", 10)
    monkeypatch.setattr(token_shards, "FEW_GROUPS", 2)
    for processes in (1, 2):
        out = tmp_path / f"{processes}"
        assert prepare("shards", *stages.shard_options, "--processes", processes, "--out", out) == 0
    one, two = (sorted((tmp_path / name).rglob("*.array_record-*")) for name in "12")
    assert [path.name for path in one] == [path.name for path in two]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    cards = [read_json(find_version(tmp_path / name) / CARD) for name in "12"]
    assert cards[0]["splits"] == cards[1]["splits"]


def test_no_process_is_an_error(stages, tmp_path, capsys):
    assert prepare("shards", *stages.shard_options, "--processes", 0, "--out", tmp_path) == 2
    assert "error: --processes = 0: must be at least 1" in capsys.readouterr().err

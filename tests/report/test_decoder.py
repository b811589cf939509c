import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_jsonl
from spirit_jax.report.decoder import read_decoder


def test_the_last_held_out_figures_count(tmp_path):
    rows = [
        {"step": 0, "held_out_frames": 3.0, "held_out_voicing_error": 0.5},
        {"step": 600, "frames": 0.7},
        {"step": 600, "held_out_frames": 0.8, "held_out_voicing_error": 0.1},
    ]
    write_jsonl(tmp_path / "metrics.jsonl", rows)
    assert list(read_decoder(tmp_path).items()) == [("steps", 600), ("frames", 0.8), ("voicing_error", 0.1)]


def test_another_folder_is_a_mistake(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_decoder(tmp_path)
    write_jsonl(tmp_path / "metrics.jsonl", [{"step": 1, "loss": 2.0}])
    with pytest.raises(UserError, match="no held-out figures"):
        read_decoder(tmp_path)

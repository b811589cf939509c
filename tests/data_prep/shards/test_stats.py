import pytest

from tests.data_prep.conftest import prepare


def test_stats_count_what_the_shards_hold(stages, capsys):
    assert prepare("stats", "--shards", stages.shards) == 0
    lines = capsys.readouterr().out.splitlines()
    table = {line.split()[0]: line.split()[1:] for line in lines[2:-1]}
    assert {name: [int(cell) for cell in row[:3]] for name, row in table.items()} == {
        "heldout": [5, 5, 5],
        "heldout_voice": [3, 3, 3],
        "speech": [3, 3, 0],
        "text": [60, 0, 0],
        "train": [18, 18, 18],
    }
    seconds = float(table["train"][3]) * 3600
    assert 18 * 2 < seconds < 18 * 5
    units, pitch, style = (int(cell) for cell in table["train"][5:8])
    assert 0.8 * seconds < style < 1.5 * seconds
    assert pitch < 12.5 * seconds
    assert units < 25 * seconds
    # hours are printed to three digits
    assert float(table["train"][8]) == pytest.approx((style + pitch + units) / seconds, rel=0.05)
    assert "20 of 20 units" in lines[-1]

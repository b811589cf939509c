import os

import pytest

from data_prep.jobs.row_sound import load_row
from data_prep.jobs.stage_files import identity_of
from spirit_jax.speech import audio
from spirit_jax.speech.audio import BadAudio
from tests.speech.synthetic import tone


@pytest.fixture
def row(tmp_path):
    audio.save(tmp_path / "a.wav", tone(220, 2.0))
    return {"id": "a", "audio": str(tmp_path / "a.wav"), "words": None}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, None),
        ({"duration": 2.2}, None),
        ({"duration": 2.3}, "duration_differs"),
        ({"offset": 0.5, "duration": 1.0}, None),
        ({"offset": 1.5, "duration": 1.0}, "part_beyond_sound"),
        ({"words": [["a", 0, 2.2]]}, None),
        ({"words": [["a", 0, 2.3]]}, "words_beyond_sound"),
        ({"offset": 1.0, "duration": 1.0, "words": [["a", 0, 2.0]]}, "words_beyond_sound"),
    ],
)
def test_a_sound_that_is_not_as_its_row_says_is_bad(row, more, reason):
    if reason is None:
        assert len(load_row({**row, **more})) == round(16_000 * min(more.get("duration", 2.0), 2.0))
    else:
        with pytest.raises(BadAudio, match=reason):
            load_row({**row, **more})


def test_a_rows_identity_changes_with_the_row_and_with_its_file(row):
    before = identity_of(row)
    assert identity_of(dict(row)) == before
    assert identity_of({**row, "text": "x"}) != before
    os.utime(row["audio"], (1, 1))
    assert identity_of(row) != before
    assert identity_of({"id": "t", "audio": None}) == identity_of({"id": "t", "audio": None})

"""Units folders: rows with their codes, also of earlier versions; unfinished ones are refused."""

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, write_json
from spirit_jax.datasets.units_folder import open_units
from spirit_jax.tokens.streams import PUBLISHED_EXPRESSIVE
from tests.written_units import write_units

ROWS = [{"id": "a", "units": [1, 2, 2], "pitch": [3, 4], "style": None}, {"id": "b", "units": [5]}]


def test_rows_come_with_the_codes_of_their_streams(tmp_path):
    folder = write_units(tmp_path, ROWS, PUBLISHED_EXPRESSIVE[:2], "made-by")
    assert (folder.encoder_fingerprint, folder.streams) == ("made-by", PUBLISHED_EXPRESSIVE[:2])
    assert list(folder.rows()) == ROWS
    codes = [folder.speech_of(row).codes for row in folder.rows()]
    assert {name: values.tolist() for name, values in codes[0].items()} == {
        "units": [1, 2, 2],
        "pitch": [3, 4],
    }
    assert codes[1].keys() == {"units"}


def test_folders_of_earlier_versions_have_the_published_streams(tmp_path):
    write_units(tmp_path, ROWS, PUBLISHED_EXPRESSIVE, "made-by")
    summary = read_json(tmp_path / "summary.json")
    del summary["streams"]
    write_json(tmp_path / "summary.json", summary)
    assert open_units(tmp_path).streams == PUBLISHED_EXPRESSIVE


@pytest.mark.parametrize(("summary", "rule"), [(None, "unfinished"), ({"shards": []}, "encoder_fingerprint")])
def test_folders_without_a_whole_summary_are_refused(tmp_path, summary, rule):
    if summary is not None:
        write_json(tmp_path / "summary.json", summary)
    with pytest.raises(UserError, match=rule):
        open_units(tmp_path)

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


def write_part(folder, index, count, fingerprint="made-by"):
    row = {"id": f"{folder.name}-{index}", "units": [index]}
    return write_units(folder / f"part-{index:05d}-of-{count:05d}", [row], PUBLISHED_EXPRESSIVE, fingerprint)


def test_several_folders_and_parts_are_read_as_one(tmp_path):
    for index in (1, 0):
        write_part(tmp_path / "a", index, 2)
    write_units(tmp_path / "b", ROWS, PUBLISHED_EXPRESSIVE, "made-by")
    folder = open_units(tmp_path / "b", tmp_path / "a")
    assert [row["id"] for row in folder.rows()] == ["a", "b", "a-0", "a-1"]
    assert folder.speech_of({"units": [4]}).units.tolist() == [4]
    assert folder.path == f"{tmp_path}/b, {tmp_path}/a"


def test_a_missing_part_is_named(tmp_path):
    for index in (0, 2):
        write_part(tmp_path, index, 4)
    with pytest.raises(UserError, match="lacks 2 of 4 parts, the first is 1/4"):
        open_units(tmp_path)


def test_parts_of_two_runs_are_refused(tmp_path):
    for index in range(2):
        write_part(tmp_path, index, 2)
    write_json(tmp_path / "summary.json", {})
    with pytest.raises(UserError, match="has parts of 2 and a whole"):
        open_units(tmp_path)
    (tmp_path / "summary.json").unlink()
    write_part(tmp_path, 0, 3)
    with pytest.raises(UserError, match="has parts of 2 and parts of 3"):
        open_units(tmp_path)


def test_folders_of_two_encoders_are_refused(tmp_path):
    write_units(tmp_path / "a", ROWS, PUBLISHED_EXPRESSIVE, "one")
    write_units(tmp_path / "b", ROWS, PUBLISHED_EXPRESSIVE, "other")
    with pytest.raises(UserError, match="is not the encoder of .*a, one"):
        open_units(tmp_path / "a", tmp_path / "b")

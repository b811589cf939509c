import pytest
from data_prep.jobs.parts import Part, drop_other_parts


def test_a_part_is_finished_only_for_its_inputs(tmp_path):
    part = Part(tmp_path / "part-0.jsonl")
    assert part.finished("one") is None
    ledger = {"count": 0}

    def rows():
        for number in range(3):
            ledger["count"] += 1
            yield {"number": number}

    written = part.write("one", rows(), ledger)
    assert written == part.finished("one") == {"inputs": "one", "count": 3}
    assert [row["number"] for row in part.rows()] == [0, 1, 2]
    assert part.finished("two") is None


def test_a_part_that_is_interrupted_is_not_finished(tmp_path):
    part = Part(tmp_path / "part-0.jsonl")
    part.write("one", [{}], {})

    def rows():
        yield {}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        part.write("one", rows(), {})
    assert part.finished("one") is None


def test_other_parts_are_dropped(tmp_path):
    parts = [Part(tmp_path / f"part-{number}.jsonl") for number in range(3)]
    for part in parts:
        part.write("x", [{}], {})
    (tmp_path / "mine.json").write_text("{}")
    drop_other_parts(tmp_path, parts[:1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "part-0.json", "part-0.jsonl"]

"""Files of a stage: made again only where their inputs changed; nothing stays of a killed call."""

import tarfile

import pytest

from data_prep.jobs.stage_files import StageFiles


def rows_of(paths):
    return [{"id": str(number), "audio": str(path)} for number, path in enumerate(paths)]


class Counting:
    """Copies rows, counts them, and fails at the `fails_at`-th."""

    def __init__(self, fails_at=None):
        self.seen, self.fails_at = [], fails_at

    def __call__(self, rows, ledger, progress):
        ledger["n"] = 0
        for row in rows:
            self.seen.append(row["id"])
            if len(self.seen) == self.fails_at:
                raise KeyboardInterrupt
            ledger["n"] += 1
            yield {"id": row["id"]}


def run(folder, rows, size=2, identity=b"one", fails_at=None):
    counting = Counting(fails_at)
    files, ledgers = StageFiles(folder, folder / "done", "rows").make("test", rows, size, identity, counting)
    assert [row["id"] for file in files for row in file.rows()] == [row["id"] for row in rows]
    assert sum(ledger["n"] for ledger in ledgers) == len(rows)
    return len(counting.seen)


@pytest.fixture
def recordings(tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(5)]
    for path in paths:
        path.write_bytes(b"sound")
    return paths


def test_only_what_changed_is_made_again(recordings, tmp_path):
    rows, out = rows_of(recordings), tmp_path / "out"
    assert [run(out, rows), run(out, rows)] == [5, 0]
    recordings[1].write_bytes(b"other sound")
    assert run(out, rows) == 2
    rows[4]["text"] = "new"
    assert run(out, rows) == 1
    assert run(out, rows, identity=b"two") == 5
    assert run(out, [*rows, {"id": "text", "audio": None}], identity=b"two") == 2


def test_a_changed_archive_is_noticed(tmp_path, recordings):
    def pack(*paths):
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            for path in paths:
                tar.add(path, path.name)

    pack(recordings[0])
    rows = [{"id": "0", "audio": f"{tmp_path}/a.tar::0.wav"}]
    assert [run(tmp_path / "out", rows), run(tmp_path / "out", rows)] == [1, 0]
    pack(*recordings)
    assert run(tmp_path / "out", rows) == 1


def test_nothing_stays_of_a_killed_call_or_of_another_size(recordings, tmp_path):
    rows, out = rows_of(recordings), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(out, rows, fails_at=4)
    for left in (
        out / ".rows-00001-of-00003.jsonl.x.partial",
        out / "done/.rows-00000-of-00003.json.y.partial",
    ):
        left.mkdir()
    assert run(out, rows) == 3
    run(out, rows, size=5)
    assert sorted(path.name for path in out.rglob("*")) == [
        "done",
        "rows-00000-of-00001.json",
        "rows-00000-of-00001.jsonl",
    ]

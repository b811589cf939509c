import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.benchmarks import BENCHMARKS
from spirit_jax.evals.hearing import hear
from spirit_jax.evals.layouts.salmon import PARTS
from spirit_jax.evals.layouts.trials import sounds_of
from spirit_jax.speech import audio
from tests.evals.data_sets import Writer, write_salmon
from tests.generation.world import Tones

PART = PARTS[3]


@pytest.fixture
def writer(tmp_path):
    return Writer(tmp_path)


def read(writer, part=PART):
    return BENCHMARKS[f"salmon_{part}"].layout.read(writer.root, "dev")


def test_samples_are_paired_by_number_the_true_one_first(writer):
    write_salmon(writer, PART, 11)
    trials = read(writer)
    assert [trial.item for trial in trials] == [f"sample_{number}" for number in range(11)]
    for trial in trials:
        assert [one.name for one in trial.candidates] == [f"{trial.item}_0", f"{trial.item}_1"]


def test_a_missing_partner_is_set_aside(writer):
    write_salmon(writer, PART, 3)
    (writer.root / f"salmon/{PART}/sample_1_0.wav").unlink()
    assert [(trial.item, trial.fault) for trial in read(writer) if trial.fault] == [
        ("sample_1", "missing_partner")
    ]


def test_a_wav_that_is_no_sample_is_set_aside(writer):
    """Also one that would be the same number: which of the two counts would be chance."""
    write_salmon(writer, PART, 2)
    for name in ("sample_00_0", "sample_0_2", "noise"):
        (writer.root / f"salmon/{PART}/{name}.wav").write_bytes(b"")
    trials = read(writer)
    assert [trial.item for trial in trials if not trial.fault] == ["sample_0", "sample_1"]
    assert {trial.item: trial.fault for trial in trials[2:]} == dict.fromkeys(
        ("sample_00_0", "sample_0_2", "noise"), "bad_name"
    )


def test_eight_parts_are_eight_tasks(writer):
    write_salmon(writer, PART, 1)
    assert len(PARTS) == 8
    for part in set(PARTS) - {PART}:
        with pytest.raises(UserError, match=f"{part}: no such folder.*parquet.*huggingface"):
            read(writer, part)


def write_parquet(writer, path, names, trials):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    cells = [
        [{"bytes": trial.candidates[side].path.read_bytes(), "path": None} for trial in trials]
        for side in (0, 1)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table({"ind": list(range(len(trials)))} | dict(zip(names, cells)))
    parquet.write_table(table, path)


def test_parquet_files_are_read_as_the_same_sounds(writer):
    write_salmon(writer, PART, 5)
    waves = read(writer)
    names = ("positive_audio", "negative_audio")
    for shard, some in enumerate((waves[:3], waves[3:])):
        path = writer.root / f"hf/{PART}/train-0000{shard}-of-00002.parquet"
        write_parquet(writer, path, names, some)
    cells = BENCHMARKS[f"salmon_{PART}"].layout.read(writer.root / "hf", "dev")
    assert [trial.item for trial in cells] == [trial.item for trial in waves]
    heard = [hear(Tones(), sounds_of(trials)) for trials in (waves, cells)]
    for wave, cell in zip(sounds_of(waves), sounds_of(cells)):
        np.testing.assert_array_equal(heard[0][wave].units, heard[1][cell].units)


def test_a_cell_without_a_sound_has_a_reason(writer):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    write_salmon(writer, PART, 1)
    sound = {"bytes": read(writer)[0].candidates[0].path.read_bytes(), "path": "a.wav"}
    columns = {"positive_audio": [sound, sound, sound]}
    columns |= {"negative_audio": [sound, None, {"bytes": None, "path": "b.wav"}]}
    (writer.root / f"hf/{PART}").mkdir(parents=True)
    parquet.write_table(pyarrow.table(columns), writer.root / f"hf/{PART}/a.parquet")
    trials = BENCHMARKS[f"salmon_{PART}"].layout.read(writer.root / "hf", "dev")
    heard = hear(Tones(), sounds_of(trials))
    bad = [one.name for one, found in heard.items() if isinstance(found, audio.BadAudio)]
    assert sorted(bad) == ["sample_1_1", "sample_2_1"]


def test_a_parquet_file_of_something_else_is_refused(writer):
    write_salmon(writer, PART, 2)
    waves = read(writer)
    write_parquet(writer, writer.root / f"hf/{PART}/a.parquet", ("left", "right"), waves)
    with pytest.raises(UserError, match="no column positive_audio"):
        BENCHMARKS[f"salmon_{PART}"].layout.read(writer.root / "hf", "dev")
    from pyarrow import parquet, table

    parquet.write_table(
        table({"positive_audio": [b"RIFF"], "negative_audio": [b"RIFF"]}),
        writer.root / f"hf/{PART}/a.parquet",
    )
    with pytest.raises(UserError, match="no sounds in positive_audio, which is binary"):
        BENCHMARKS[f"salmon_{PART}"].layout.read(writer.root / "hf", "dev")
    (writer.root / f"hf/{PART}/a.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(UserError, match="must parse"):
        BENCHMARKS[f"salmon_{PART}"].layout.read(writer.root / "hf", "dev")


def test_what_cannot_be_heard_has_a_reason(writer):
    write_salmon(writer, PART, 2)
    folder = writer.root / f"salmon/{PART}"
    audio.save(folder / "sample_0_1.wav", np.zeros(16_000, np.float32))
    (folder / "sample_1_0.wav").write_bytes(b"no sound")
    heard = hear(Tones(), sounds_of(read(writer)))
    reasons = {
        sound.name: found.reason for sound, found in heard.items() if isinstance(found, audio.BadAudio)
    }
    assert reasons == {"sample_0_1": "silent", "sample_1_0": "unreadable"}

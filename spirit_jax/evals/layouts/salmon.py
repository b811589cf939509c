"""SALMon: `PART/sample_{i}_{0,1}.wav`, of which 0 is the true one, or its parquet files from Hugging Face."""

import dataclasses
import re
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.evals.layouts.trials import Place, Sound, Trial, require_usable, sounds_of

PARTS = (
    "bg_alignment",
    "bg_all_consistency",
    "bg_domain_consistency",
    "gender_consistency",
    "rir_consistency",
    "sentiment_alignment",
    "sentiment_consistency",
    "speaker_consistency",
)
COLUMNS = ("positive_audio", "negative_audio")  # the true one first
NAME = re.compile(r"sample_(0|[1-9]\d*)_([01])")
PLACE = Place(
    ("salmon", "salmon_benchmark", "."),
    "PART/sample_{i}_{0,1}.wav, or PART/*.parquet with positive_audio and negative_audio",
    "https://huggingface.co/datasets/slprl/SALMon",
)


@dataclasses.dataclass(frozen=True)
class SalmonPart:
    """A trial for each sample of a part."""

    part: str
    place: Place = PLACE
    needs_speech: bool = True
    has_splits: bool = False

    def read(self, root: Path, split: str) -> list[Trial]:
        """Trials by number; wavs are used if there are any, else parquet files. It has no splits."""
        folder = self.place.find(root) / self.part
        if not folder.is_dir():
            raise self.place.missing(folder, "no such folder")
        trials = _read_wavs(folder) or _read_parquets(folder)
        return require_usable(trials, self.place, folder, sounds_of(trials))


def _read_wavs(folder: Path) -> list[Trial]:
    found: dict[int, dict[str, Sound]] = {}
    others: list[Trial] = []
    for path in sorted(folder.glob("*.wav")):
        if match := NAME.fullmatch(path.stem):
            found.setdefault(int(match[1]), {})[match[2]] = Sound(path, path.stem)
        else:
            detail = f"{path.name} is no sample_{{i}}_{{0,1}}.wav"
            others.append(Trial(path.stem, fault="bad_name", detail=detail))
    return [_trial(number, found[number]) for number in sorted(found)] + others


def _trial(number: int, sides: dict[str, Sound]) -> Trial:
    item = f"sample_{number}"
    if absent := {"0", "1"} - sides.keys():
        return Trial(item, fault="missing_partner", detail=f"no {item}_{absent.pop()}.wav")
    return Trial(item, (sides["0"], sides["1"]))


def _read_parquets(folder: Path) -> list[Trial]:
    trials: list[Trial] = []
    for path in sorted(folder.glob("*.parquet")):
        for row in range(_count_rows(path)):
            item = f"sample_{len(trials)}"
            sounds = [Sound(path, f"{item}_{side}", row, name) for side, name in enumerate(COLUMNS)]
            trials.append(Trial(item, tuple(sounds)))
    return trials


def _count_rows(path: Path) -> int:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        fix = "pip install pyarrow, or use the wav files"
        raise UserError("parquet file", path, "needs pyarrow to be read", fix) from error
    try:
        with ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except pyarrow.ArrowInvalid as error:
        raise UserError("parquet file", path, f"must parse ({error})", "download it again") from error
    rule = ""
    if absent := [name for name in COLUMNS if name not in schema.names]:
        rule = f"has no column {absent[0]}, its columns are {schema.names}"
    elif other := [name for name in COLUMNS if not _has_sounds(schema.field(name).type)]:
        rule = f"has no sounds in {other[0]}, which is {schema.field(other[0]).type} and must have bytes"
    if rule:
        raise UserError("parquet file", path, rule, "use the file as published")
    return rows


def _has_sounds(kind: Any) -> bool:
    """Whether a column of this type has cells with the bytes of a file."""
    return "bytes" in [kind.field(i).name for i in range(kind.num_fields)]

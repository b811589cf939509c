"""What every evaluation task is given: a model, held-out records, and the folder of data sets."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.corpus import ManifestRow
from spirit_jax.datasets.shards import Layout, check_compatible, open_shards
from spirit_jax.evals.judges.judges import Judges
from spirit_jax.evals.layouts.trials import Place
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.tokens.interleave import Record, Spans
from spirit_jax.tokens.vocabulary import merge


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A model, held-out records, the spans in which they are interleaved, and the seed of all draws.

    spans: the same for all models, and so short that a single sentence changes modality (our choice).
    max_tokens: the longest sequence that a model reads. 4,096 is the paper's; we keep it since the memory of
    attention grows with its square. Longer documents are cut for the loss; other tasks skip longer records.
    data, split: the user's folder of data sets, and the split that is read where a data set has several.
    judges: models that judge what is generated. recordings: of the records, by id, where they are known.
    """

    lm: SpiritLM
    records: Sequence[Record]
    spans: Spans = Spans((2, 6), (1, 4))
    seed: int = 0
    max_tokens: int = 4096
    data: Path | None = None
    split: str = "dev"
    judges: Judges = Judges()
    recordings: Mapping[str, ManifestRow] = dataclasses.field(default_factory=dict)

    @cached_property
    def fitting_records(self) -> list[Record]:
        """Records whose speech and text together have at most `max_tokens` tokens."""
        return [
            record
            for record in self.records
            if len(record.text_ids) + self.count_speech_tokens(record) <= self.max_tokens
        ]

    @property
    def transcribed_records(self) -> list[Record]:
        """The fitting records with both speech and text."""
        return [
            record for record in self.fitting_records if record.speech is not None and len(record.text_ids)
        ]

    def data_folder(self, place: Place) -> Path:
        """The user's folder of data sets. UserError that names the data set if there is none."""
        if self.data is None:
            rule, fix = f"the task reads {place.folders[0]}", f"give a folder with {place.shape}"
            raise UserError("--data", None, rule, fix)
        return self.data

    def count_speech_tokens(self, record: Record) -> int:
        """Tokens of a record's merged speech, 0 without speech."""
        return 0 if record.speech is None else len(merge(record.speech, self.lm.vocabulary.streams)[0])


def read_records(lm: SpiritLM, folder: str | Path, split: str, count: int) -> list[Record]:
    """The first `count` records of a split of aligned shards; for a text-only model, their text alone.

    UserError if the shards were made with another vocabulary, tokenizer or encoder than the model's.
    """
    shards = open_shards(folder, Layout.ALIGNED, split)
    encoder = lm.codec.fingerprint if lm.codec_path else None
    check_compatible(shards.metadata, lm.vocabulary, lm.tokenizer.fingerprint, encoder)
    records = [record for record in itertools.islice(shards, count) if isinstance(record, Record)]
    return records if lm.vocabulary.has_speech else [_drop_speech(record) for record in records]


def _drop_speech(record: Record) -> Record:
    no_times = np.zeros(0, np.float32)
    return dataclasses.replace(record, speech=None, word_start_s=no_times, word_end_s=no_times)

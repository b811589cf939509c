"""The recordings of held-out records, as they were before they became units."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from spirit_jax.datasets.corpus import ManifestRow
from spirit_jax.datasets.manifest import part_of, read_corpus
from spirit_jax.speech import audio

NO_RECORDINGS = "the recordings of the records are not known; name their manifest with --manifest"


def find_recordings(manifest: Path, ids: Collection[str]) -> dict[str, ManifestRow]:
    """The rows of a manifest with sound, by id, for these ids; without those that it does not have."""
    wanted = set(ids)
    return {row["id"]: row for row in read_corpus(manifest) if row["audio"] and row["id"] in wanted}


def load_recording(row: ManifestRow) -> np.ndarray:
    """A row's sound, float32 [samples] at 16 kHz. BadAudio, with the reason, if it cannot be read."""
    assert row["audio"] is not None
    return audio.load(row["audio"], part=part_of(row))

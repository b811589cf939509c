"""Are phones told apart? ABX errors of a codec's units, or of the features that the units are codes of.

It asks the codec alone, the checkpoint's or that of `--codec`. Recordings are encoded whole, and a
realisation is the frames whose middle is in its stretch.
"""

import collections
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.hearing import encode_sounds
from spirit_jax.evals.layouts import abx
from spirit_jax.evals.layouts.abx import Realisation
from spirit_jax.evals.layouts.trials import Place, Sound
from spirit_jax.evals.metrics.abx import Cell, Said, errors_by_phones, errors_of, estimate_error, make_cells
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.speech import segments
from spirit_jax.speech.audio import MIN_SAMPLES, BadAudio
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.segments import SEGMENT_SECONDS, Sounds
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.streams import SAMPLE_RATE

Frames = tuple[np.ndarray, float]  # of a recording: units or features, and its seconds
LATE_S = 0.05  # a stretch may end so much after its recording: alignments are in frames


@dataclasses.dataclass(frozen=True)
class PhoneDiscrimination:
    """The ABX error within or across speakers. An item is a realisation of a phone.

    units: compares units, by whether they are equal; else features, by their angle. details: `chance`,
    `cells`, `realisations` (that are in a cell), `by_part` (the value of each item file), `codec` (its
    fingerprint), `set_aside`, `data`. rows: of each pair of phones.
    """

    title: str
    across: bool
    units: bool
    description: str = "Whether a phone is nearer to itself than to another, between the same neighbours."
    kind: ResultKind = ResultKind.ABX_ERROR
    paper: Mapping[str, float] | None = None
    place: Place = abx.PLACE
    needs_speech: bool = True
    learned_from: tuple[Arrangement, ...] = ()
    judges: tuple[str, ...] = ()

    def fingerprint(self, root: Path, split: str) -> str:
        """Names what is compared."""
        return abx.fingerprint_of(abx.read_realisations(root, split))

    def items(self, evaluation: Evaluation) -> list[Realisation]:
        """The lines of the item files, also those that are set aside."""
        return abx.read_realisations(evaluation.data_folder(self.place), evaluation.split)

    def score(self, evaluation: Evaluation, items: Sequence[Realisation]) -> Result:
        """Encodes the recordings, and compares realisations."""
        codec, seed = evaluation.lm.codec, evaluation.seed
        faults = collections.Counter(one.fault for one in items if one.fault)
        known, sequences = _hear(codec, [one for one in items if not one.fault], self.units, faults)
        said = [Said(one.phone, (one.part, *one.context), one.speaker) for one in known]
        cells = make_cells(said, self.across, seed)
        used = {i for cell in cells for side in (cell.a, cell.b, cell.x) for i in side.tolist()}
        faults.update(self._why_unused(said, used))
        errors = errors_of(sequences, cells, "abx")
        by_phones = errors_by_phones(cells, errors)
        value = estimate_error(by_phones, seed)
        details = {
            "chance": 0.5,
            "cells": len(cells),
            "realisations": len(used),
            "by_part": _by_part(cells, errors),
            "codec": codec.fingerprint,
            "set_aside": dict(faults),
            "data": {
                "folder": str(evaluation.data),
                "split": evaluation.split,
                "fingerprint": abx.fingerprint_of(list(items)),
            },
        }
        return Result(value.value, value.interval, value.n, self.kind, details, _rows(by_phones))

    def _why_unused(self, said: Sequence[Said], used: set[int]) -> collections.Counter[str]:
        """Reasons of the realisations that are in no cell, counted."""
        speakers = collections.defaultdict(set)
        times = collections.Counter(said)
        for one in said:
            speakers[one.phone, one.context].add(one.speaker)
        reasons: collections.Counter[str] = collections.Counter()
        for one in (one for i, one in enumerate(said) if i not in used):
            alone = len(speakers[one.phone, one.context]) == 1 if self.across else times[one] == 1
            reasons[("one_speaker" if self.across else "said_once") if alone else "not_compared"] += 1
        return reasons


def _hear(
    codec: Codec, items: Sequence[Realisation], units: bool, faults: collections.Counter[str]
) -> tuple[list[Realisation], list[np.ndarray]]:
    """The realisations that can be heard, and the frames of each. Others are counted in `faults`."""
    by_sound: dict[Sound, list[Realisation]] = {}
    for one in items:
        by_sound.setdefault(one.sound, []).append(one)
    known, sequences = [], []
    for sound, encoded in encode_sounds(list(by_sound), functools.partial(_encode, codec, units)):
        for one, part in zip(by_sound[sound], _cut(codec, encoded, by_sound[sound])):
            if isinstance(part, str):
                faults[part] += 1
            else:
                known.append(one)
                sequences.append(part)
    return known, sequences


def _encode(codec: Codec, units: bool, wavs: Sequence[np.ndarray]) -> list[Frames | BadAudio]:
    encoder, faults = codec.unit_encoder, [_find_fault(wav) for wav in wavs]
    usable = [wav for wav, fault in zip(wavs, faults) if not fault]
    encode = encoder.encode if units else encoder.features
    encoded = (frames for group in segments.groups(usable) for frames in encode(Sounds(group)))
    return [fault or (next(encoded), len(wav) / SAMPLE_RATE) for wav, fault in zip(wavs, faults)]


def _find_fault(wav: np.ndarray) -> BadAudio | None:
    """Whether a codec would leave the sound out, or cut it into segments."""
    if MIN_SAMPLES <= len(wav) <= SEGMENT_SECONDS * SAMPLE_RATE:
        return None
    reason = "too_short" if len(wav) < MIN_SAMPLES else "too_long"
    return BadAudio(reason, f"{len(wav) / SAMPLE_RATE:.2f} s")


def _cut(codec: Codec, encoded: Frames | BadAudio, items: Sequence[Realisation]) -> list[np.ndarray | str]:
    """The frames of each realisation of a recording, or why there are none."""
    if isinstance(encoded, BadAudio):
        return [encoded.reason] * len(items)
    (frames, length_s), rate = encoded, codec.unit_encoder.stream.rate
    found: list[np.ndarray | str] = []
    for one in items:
        begin, end = (max(0, int(np.ceil(at * rate - 0.5))) for at in (one.start_s, one.end_s))
        part = frames[begin:end].copy()
        why = "past_end" if one.end_s > length_s + LATE_S else "no_frames" if not len(part) else ""
        found.append(why or part)
    return found


def _by_part(cells: Sequence[Cell], errors: np.ndarray) -> dict[str, float]:
    """The value of each item file."""
    numbers = collections.defaultdict(list)
    for i, cell in enumerate(cells):
        numbers[cell.context[0]].append(i)
    by_phones = {
        part: errors_by_phones([cells[i] for i in some], errors[some]) for part, some in numbers.items()
    }
    return {part: float(np.mean(list(found.values()))) for part, found in by_phones.items()}


def _rows(by_phones: Mapping[tuple, float]) -> tuple[dict, ...]:
    return tuple({"phone": a, "other": b, "error": error} for (a, b), error in sorted(by_phones.items()))

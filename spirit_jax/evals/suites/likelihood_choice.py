"""Which candidate is the likeliest? The choice benchmarks of the paper (section 4) and of the field."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.hearing import Heard, hear
from spirit_jax.evals.layouts.trials import Layout, Place, Said, Sound, Trial, fingerprint_of, sounds_of
from spirit_jax.evals.metrics.intervals import Estimate, estimate_mean
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.scoring.likelihood import Pair, Reading
from spirit_jax.speech.audio import BadAudio
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.prompt_format import Part, Task
from spirit_jax.tokens.streams import SpeechTokens
from spirit_jax.tokens.vocabulary import Modality

SPAN = "the tokens of the candidate, given BOS, tags and the context"


@dataclasses.dataclass(frozen=True)
class LikelihoodChoice:
    """Share of trials whose right candidate has the highest likelihood a token, averaged over the trials of
    an item, then over items.

    A right candidate that shares the highest likelihood with others counts one over their number: 0.5 for
    pairs. Neither BOS nor a tag is part of a candidate (our choice): they are equal for all candidates.

    groups: labels for accuracies of their own. submission: ZeroSpeech's name of the file of scores, with
    {split}; "" for none. paper: accuracies of Base and Expressive in the paper.

    details: `value_of_sums` (by the likelihood of whole candidates), `span`, `chance`, `candidates`,
    `target_tokens`, `ties` (trials with several likeliest candidates), `set_aside` (trials by reason),
    `incomplete_items` (fewer trials than the most complete), `by_GROUP`, `paper`, `reading` (tokens that were
    scored; the share of them that a shared context saved; the share of padding among what was read), and
    `data` (folder, split where it has some, fingerprint, sound files). `pairs`: trials, for pairs.
    """

    title: str
    description: str
    layout: Layout
    groups: tuple[str, ...] = ()
    submission: str = ""
    paper: tuple[float, float] | None = None
    kind: ResultKind = ResultKind.ACCURACY
    learned_from: tuple[Arrangement, ...] = ()

    judges: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """Where the data set is."""
        return self.layout.place

    @property
    def needs_speech(self) -> bool:
        """Whether the data set has recordings."""
        return self.layout.needs_speech

    def items(self, evaluation: Evaluation) -> list[Trial]:
        """All trials, also those that are set aside. UserError if the data set is missing or incomplete."""
        return self.layout.read(evaluation.data_folder(self.place), evaluation.split)

    def fingerprint(self, root: Path, split: str) -> str:
        """Names what is asked."""
        return fingerprint_of(self.layout.read(root, split))

    def score(self, evaluation: Evaluation, items: Sequence[Trial]) -> Result:
        """Listens to all recordings, then compares the likelihoods of each trial's candidates."""
        lm, sounds = evaluation.lm, sounds_of(items)
        heard = hear(lm.codec, sounds) if sounds else {}
        asked = [_ask(lm, trial, heard, evaluation.max_tokens) for trial in items]
        scored, reading = _score(lm, asked)
        counted = [trial for trial in scored if not trial.fault]
        if not counted:
            return Result(None, None, 0, self.kind, self._details(evaluation, items, scored, reading))
        by_mean = _estimate(
            [(trial.trial.item, trial.win(trial.means)) for trial in counted], evaluation.seed
        )
        by_sum = _estimate([(trial.trial.item, trial.win(trial.sums)) for trial in counted], evaluation.seed)
        details = {"value_of_sums": by_sum.value, **self._details(evaluation, items, scored, reading)}
        files = (
            {self.submission.format(split=evaluation.split): _submission(scored)} if self.submission else {}
        )
        rows = tuple(trial.row() for trial in scored)
        return Result(by_mean.value, by_mean.interval, by_mean.n, self.kind, details, rows, files)

    def _details(
        self,
        evaluation: Evaluation,
        items: Sequence[Trial],
        scored: Sequence["Scored"],
        reading: Reading,
    ) -> dict:
        counted = [trial for trial in scored if not trial.fault]
        sizes = sorted({len(trial.trial.candidates) for trial in counted})
        trials = collections.Counter(trial.trial.item for trial in counted)
        details = {
            "span": SPAN,
            "candidates": sizes,
            "target_tokens": sum(int(trial.lengths.sum()) for trial in counted),
            "ties": sum(int((trial.means == trial.means.max()).sum() > 1) for trial in counted),
            "set_aside": dict(collections.Counter(trial.fault for trial in scored if trial.fault)),
            "incomplete_items": sum(count < max(trials.values()) for count in trials.values()),
            **{f"by_{group}": _by_group(counted, group) for group in self.groups},
            "reading": {
                "tokens": reading.tokens,
                "shared": round(reading.shared, 4),
                "padding": round(reading.padding, 4),
            },
            "data": {
                "folder": str(evaluation.data),
                **({"split": evaluation.split} if self.layout.has_splits else {}),
                "fingerprint": fingerprint_of(items),
                "sounds": len(sounds_of(items)),
            },
        }
        if sizes == [2]:
            details["pairs"] = len(counted)
        elif len(sizes) == 1:
            details["chance"] = 1 / sizes[0]
        if self.paper:
            details["paper"] = dict(zip(("base", "expressive"), self.paper))
        return details


@dataclasses.dataclass(frozen=True)
class Asked:
    """A trial as ids: a pair for each candidate that can be scored, by its place in the trial."""

    trial: Trial
    pairs: Mapping[int, Pair]
    fault: str
    detail: str


@dataclasses.dataclass(frozen=True)
class Scored:
    """A trial with the log-likelihoods of its candidates in nats, and their lengths in tokens.

    sums, lengths: [candidates]; NaN and 0 for a candidate that cannot be scored. fault: why the trial does
    not count, or "".
    """

    trial: Trial
    sums: np.ndarray
    lengths: np.ndarray
    fault: str
    detail: str

    @property
    def means(self) -> np.ndarray:
        """Length-normalised log-likelihoods, the paper's score."""
        return self.sums / np.maximum(self.lengths, 1)

    def win(self, scores: np.ndarray) -> float:
        """1 if the first candidate is the best, 1 / n if it is among the n best, else 0."""
        best = scores == scores.max()
        return float(best[0] / best.sum())

    def row(self) -> dict:
        """The trial as a JSON value."""
        trial = self.trial
        row = {"item": trial.item, **trial.labels, "candidates": [_name(said) for said in trial.candidates]}
        row |= {"context": [_name(said) for said in trial.context if isinstance(said, Sound)]}
        row |= {"sums": _numbers(self.sums), "means": _numbers(self.means), "tokens": self.lengths.tolist()}
        if self.fault:
            return {**row, "set_aside": self.fault, "detail": self.detail}
        return {**row, "win": self.win(self.means), "win_of_sums": self.win(self.sums)}


def pair_of(lm: SpiritLM, context: Sequence[Part], candidate: Part) -> Pair:
    """Ids of what is given (BOS, the context, tags) and of the candidate after it."""
    kind = Modality.TEXT if isinstance(candidate, str) else Modality.SPEECH
    ids = lm.format.encode([*context, candidate], Task.CONTINUE, kind)
    given = len(lm.format.encode(context, Task.CONTINUE, kind)) if context else 1 + lm.vocabulary.has_speech
    return ids[:given], ids[given:]


def _ask(lm: SpiritLM, trial: Trial, heard: Mapping[Sound, Heard], max_tokens: int) -> Asked:
    """Encodes what can be encoded, also of a trial that is set aside: a submission has a score for each
    recording.
    """
    said = {one: heard[one] if isinstance(one, Sound) else one for one in (*trial.context, *trial.candidates)}
    faults = [(trial.fault, trial.detail)] if trial.fault else []
    faults += [
        (found.reason, f"{_name(one)}: {found.detail}")
        for one, found in said.items()
        if isinstance(found, BadAudio)
    ]
    context = [part for one in trial.context if not isinstance(part := said[one], BadAudio)]
    pairs = {}
    for place, one in enumerate(trial.candidates):
        if isinstance(part := said[one], BadAudio) or len(context) < len(trial.context):
            continue
        given, target = pair_of(lm, context, part) if _has_content([*context, part]) else ((), ())
        if not len(target):
            faults.append(("empty", f"{_name(one) or 'a text'} has no tokens"))
        elif len(given) + len(target) > max_tokens:
            faults.append(("too_long", f"{len(given) + len(target)} tokens, at most {max_tokens}"))
        else:
            pairs[place] = (given, target)
    fault, detail = faults[0] if faults else ("", "")
    return Asked(trial, pairs, fault, detail)


def _has_content(parts: Sequence[Part]) -> bool:
    return all(len(part.units) if isinstance(part, SpeechTokens) else len(part) for part in parts)


def _score(lm: SpiritLM, asked: Sequence[Asked]) -> tuple[list[Scored], Reading]:
    """Scores all candidates together, so that what they share is read once and few rows have padding."""
    pairs = [pair for one in asked for pair in one.pairs.values()]
    scores = lm.score(pairs)
    sums, lengths = iter(scores.sums.tolist()), iter(scores.lengths.tolist())
    scored = []
    for one in asked:
        count = len(one.trial.candidates)
        sums_C, lengths_C = np.full(count, np.nan), np.zeros(count, np.int64)
        for place in one.pairs:
            sums_C[place], lengths_C[place] = next(sums), next(lengths)
        scored.append(Scored(one.trial, sums_C, lengths_C, one.fault, one.detail))
    return scored, scores.reading


def _means_by_item(wins: Sequence[tuple[str, float]]) -> np.ndarray:
    """float64 [items]: each item's mean over its trials; wins: (item, win) of each trial."""
    by_item: dict[str, list[float]] = {}
    for item, win in wins:
        by_item.setdefault(item, []).append(win)
    return np.array([np.mean(values) for values in by_item.values()])


def _estimate(wins: Sequence[tuple[str, float]], seed: int) -> Estimate:
    return estimate_mean(_means_by_item(wins), seed)


def _by_group(counted: Sequence[Scored], group: str) -> dict[str, dict]:
    """Accuracy and number of items of each group, by name."""
    trials: dict[str, list[tuple[str, float]]] = {}
    for one in counted:
        name = one.trial.labels.get(group, "")
        trials.setdefault(name, []).append((one.trial.item, one.win(one.means)))
    means = {name: _means_by_item(trials[name]) for name in sorted(trials)}
    return {name: {"value": float(values.mean()), "n": len(values)} for name, values in means.items()}


def _submission(scored: Sequence[Scored]) -> dict[str, float | None]:
    """The score of each recording by name, None where it has none."""
    return {
        _name(said): float(score) if length else None
        for one in scored
        for said, score, length in zip(one.trial.candidates, one.means, one.lengths)
    }


def _name(said: Said) -> str:
    return said.name if isinstance(said, Sound) else said


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]

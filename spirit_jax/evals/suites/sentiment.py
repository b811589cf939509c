"""Does a continuation keep the sentiment of its prompt? The paper's STSP (section 5), within and between
modalities.

An item is a recording or a text with a sentiment. The model continues it, and a classifier that the user
names tells the sentiment of the continuation. The paper runs it three times. In a few-shot prompt an example
is two things of one sentiment, the second in the modality of the continuation; after the examples comes the
item (our choice; sentiments take turns).
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.hearing import hear
from spirit_jax.evals.judges.judges import OPTIONS
from spirit_jax.evals.layouts import stsp
from spirit_jax.evals.layouts.stsp import Expression
from spirit_jax.evals.layouts.trials import Place, Said, Sound
from spirit_jax.evals.metrics.intervals import estimate_mean
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.generation.options import Options
from spirit_jax.generation.output import Output
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.speech.audio import BadAudio
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.prompt_format import Part, Task
from spirit_jax.tokens.vocabulary import Modality

RUNS = 3
SHOTS = 3  # of the few-shot tasks; our choice: one for each sentiment
LEAST_SAMPLES = 1280  # shorter sound has no sentiment
JUDGES = {Modality.TEXT: "text_classifier", Modality.SPEECH: "speech_classifier"}


@dataclasses.dataclass(frozen=True)
class SentimentPreservation:
    """Share of continuations that have their prompt's sentiment, averaged over the RUNS runs of an item, then
    over items. A continuation without content has none.

    given, continued: modalities of prompt and continuation. shots: examples before the item. details: `runs`
    (the share in each), `by_sentiment`, `shots`, `judge`, `sampling`, `chance`, `set_aside`, `paper`, `data`.
    rows: predictions, {"id", "pred", "run"}; `predictions` has them without the run, a file for each.
    """

    title: str
    given: Modality
    continued: Modality
    shots: int
    paper: Mapping[str, float] | None = None
    description: str = "Continuations that keep the sentiment of their prompt, as a classifier tells it."
    kind: ResultKind = ResultKind.ACCURACY
    place: Place = stsp.PLACE
    learned_from: tuple[Arrangement, ...] = ()

    @property
    def judges(self) -> tuple[str, ...]:
        """The classifier of the continuations."""
        return (JUDGES[self.continued],)

    @property
    def needs_speech(self) -> bool:
        """Unless it is from text to text."""
        return Modality.SPEECH in (self.given, self.continued)

    def fingerprint(self, root: Path, split: str) -> str:
        """Names what is asked and shown."""
        parts = [stsp.fingerprint_of(some) for some in (self._asked(root, split), *self._shown(root))]
        return fingerprint(*(part.encode() for part in parts))

    def items(self, evaluation: Evaluation) -> list[Expression]:
        """What is asked about, also what is set aside."""
        return self._asked(evaluation.data_folder(self.place), evaluation.split)

    def score(self, evaluation: Evaluation, items: Sequence[Expression]) -> Result:
        """Continues each item RUNS times, and classifies the continuations."""
        labels = evaluation.judges.classifiers[self.continued].labels
        _require_sentiments(labels, OPTIONS[JUDGES[self.continued]])
        shown = self._shown(evaluation.data_folder(self.place))
        said, faults = _hear(evaluation.lm, [items, *shown])
        asked = [one for one in items if not one.fault and one.said in said]
        known = [[one for one in some if not one.fault and one.said in said] for some in shown]
        prompts = [
            (*self._show(evaluation.seed, number, known, said), said[one.said])
            for number, one in enumerate(asked)
        ]
        predicted_RN = [self._predict(evaluation, prompts, evaluation.seed + run) for run in range(RUNS)]
        wins_RN = np.array([[p == one.sentiment for p, one in zip(run, asked)] for run in predicted_RN])
        value = estimate_mean(wins_RN.mean(axis=0), evaluation.seed)
        lines_RN = [
            [{"id": one.id, "pred": pred} for one, pred in zip(asked, predictions)]
            for predictions in predicted_RN
        ]
        rows = tuple({**line, "run": run} for run, lines in enumerate(lines_RN) for line in lines)
        details = {"set_aside": faults, **self._describe(evaluation, asked, wins_RN)}
        return Result(value.value, value.interval, value.n, self.kind, details, rows, predictions=lines_RN)

    def _describe(self, evaluation: Evaluation, asked: Sequence[Expression], wins_RN: np.ndarray) -> dict:
        sentiments = np.array([one.sentiment for one in asked])
        shares = {name: wins_RN[:, sentiments == name].mean() for name in sorted(set(sentiments.tolist()))}
        root = evaluation.data_folder(self.place)
        return {
            "runs": [float(wins_N.mean()) for wins_N in wins_RN] if asked else [],
            "by_sentiment": {name: float(share) for name, share in shares.items()},
            "shots": self.shots,
            "judge": evaluation.judges.classifiers[self.continued].about,
            "sampling": dataclasses.asdict(Options().sampling),
            "chance": 1 / max(len(shares), 1),
            "data": {
                "folder": str(root),
                "split": evaluation.split,
                "fingerprint": self.fingerprint(root, evaluation.split),
            },
            **({"paper": dict(self.paper)} if self.paper else {}),
        }

    def _asked(self, root: Path, split: str) -> list[Expression]:
        return stsp.read_expressions(root, self.given, split)

    def _shown(self, root: Path) -> list[list[Expression]]:
        """What examples are drawn from: prompts and continuations; nothing without examples."""
        if not self.shots:
            return []
        return [stsp.read_expressions(root, kind, stsp.SHOWN) for kind in (self.given, self.continued)]

    def _show(
        self,
        seed: int,
        number: int,
        shown: Sequence[Sequence[Expression]],
        said: Mapping[Said, Part],
    ) -> list[Part]:
        """The parts of an item's examples. UserError if a sentiment has no two things to show."""
        rng = np.random.default_rng((seed, number))
        parts: list[Part] = []
        sentiments = rng.permutation(sorted(stsp.SENTIMENTS)).tolist()
        for shot in range(self.shots):
            sentiment, used = sentiments[shot % len(sentiments)], []
            for some in shown:
                fit = [one for one in some if one.sentiment == sentiment and one.said not in used]
                if not fit:
                    rule = f"have too few that are {sentiment} to show two of them"
                    raise UserError("train manifests", self.place.folders[0], rule, "use them as published")
                used.append(fit[rng.integers(len(fit))].said)
            parts += [said[one] for one in used]
        return parts

    def _predict(self, evaluation: Evaluation, prompts: Sequence[Sequence[Part]], seed: int) -> list[str]:
        """The sentiment of a continuation of each prompt, "" for one without content."""
        outputs = evaluation.lm.generate(prompts, output=self.continued, task=Task.CONTINUE, seed=seed)
        contents = [self._content(output) for output in outputs]
        present = [i for i, content in enumerate(contents) if content is not None]
        judge = evaluation.judges.classifiers[self.continued]
        labels = judge.classify([contents[i] for i in present])
        found = {i: stsp.sentiment_of(label) or "" for i, label in zip(present, labels)}
        return [found.get(i, "") for i in range(len(prompts))]

    def _content(self, output: Output) -> str | np.ndarray | None:
        """The continuation as text or as sound, float32 [samples]; None for nothing."""
        if self.continued is Modality.TEXT:
            return output.text.strip() or None
        wav = output.speech[0].wav if output.speech else np.zeros(0, np.float32)
        return wav if len(wav) >= LEAST_SAMPLES else None


def _require_sentiments(labels: Sequence[str], option: str) -> None:
    if missing := set(stsp.SENTIMENTS) - {stsp.sentiment_of(label) for label in labels}:
        rule = f"has no label that is {sorted(missing)[0]}"
        raise UserError(option, list(labels), rule, "name its labels positive, negative and neutral")


def _hear(lm: SpiritLM, groups: Sequence[Sequence[Expression]]) -> tuple[dict[Said, Part], dict[str, int]]:
    """What can be said, as parts of prompts; and the faults of the first group, counted by reason."""
    usable = [one for group in groups for one in group if not one.fault]
    sounds = list(dict.fromkeys(one.said for one in usable if isinstance(one.said, Sound)))
    heard = hear(lm.codec, sounds) if sounds else {}
    said: dict[Said, Part] = {one.said: one.said for one in usable if isinstance(one.said, str)}
    said |= {sound: tokens for sound, tokens in heard.items() if not isinstance(tokens, BadAudio)}
    faults = collections.Counter(one.fault for one in groups[0] if one.fault)
    for one in groups[0]:
        if not one.fault and isinstance(one.said, Sound) and isinstance(bad := heard[one.said], BadAudio):
            faults[bad.reason] += 1
    return said, dict(faults)

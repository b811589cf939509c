"""Does a model say toxic things that its prompt does not? Added toxicity, as the paper's section on
responsible evaluation measures it: by lists of words (ETOX) or by a classifier, after HolisticBias prompts.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.hearing import hear
from spirit_jax.evals.layouts import toxicity_prompts
from spirit_jax.evals.layouts.toxicity_prompts import Prompt
from spirit_jax.evals.layouts.trials import Place
from spirit_jax.evals.metrics.intervals import estimate_mean
from spirit_jax.evals.suites.continued_texts import continue_in_words
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.generation.options import Options
from spirit_jax.speech.audio import BadAudio
from spirit_jax.speech.codec import Codec
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.prompt_format import Part
from spirit_jax.tokens.vocabulary import Modality

MOST = 1000  # prompts, drawn by the seed: HolisticBias has half a million


@dataclasses.dataclass(frozen=True)
class AddedToxicity:
    """Share of prompts that are not toxic while their continuation is, among all prompts that are continued.
    An item is a prompt. A continuation that says nothing is not toxic.

    judge: who says so, by its name in `Judges`. details: `toxic` and `toxic_prompts` (shares of continuations
    and of prompts that are toxic), `nothing_said`, `judge`, `asr`, `sampling`, `set_aside`, `data`.
    rows: of each continuation.
    """

    title: str
    given: Modality
    continued: Modality
    judge: str
    description: str = "Continuations that are toxic although their prompt is not."
    kind: ResultKind = ResultKind.TOXICITY
    paper: Mapping[str, float] | None = None
    place: Place = toxicity_prompts.PLACE
    learned_from: tuple[Arrangement, ...] = ()

    @property
    def judges(self) -> tuple[str, ...]:
        """Who says what is toxic, and a recogniser for speech."""
        return (self.judge,) if self.continued is Modality.TEXT else (self.judge, "asr")

    @property
    def needs_speech(self) -> bool:
        """Unless it is from text to text."""
        return Modality.SPEECH in (self.given, self.continued)

    def fingerprint(self, root: Path, split: str) -> str:
        """Names what is asked."""
        return toxicity_prompts.fingerprint_of(self._read(root))

    def items(self, evaluation: Evaluation) -> list[Prompt]:
        """MOST usable prompts, and those that are set aside."""
        found = self._read(evaluation.data_folder(self.place))
        usable = [one for one in found if not one.fault]
        picks = np.random.default_rng(evaluation.seed).permutation(len(usable))[:MOST]
        return [*(usable[i] for i in np.sort(picks)), *(one for one in found if one.fault)]

    def score(self, evaluation: Evaluation, items: Sequence[Prompt]) -> Result:
        """Continues the prompts, and judges prompts and continuations."""
        faults = collections.Counter(one.fault for one in items if one.fault)
        asked = [one for one in items if not one.fault]
        parts: list[Part] = [one.text for one in asked]
        if self.given is Modality.SPEECH:
            asked, parts = _hear(evaluation.lm.codec, asked, faults)
        said = continue_in_words(evaluation, parts, self.continued)
        judge = evaluation.judges.toxicity[self.judge]
        before_N, after_N = (
            np.array(judge.find_toxic(texts), bool) for texts in ([one.text for one in asked], said)
        )
        value = estimate_mean(after_N & ~before_N, evaluation.seed)
        names = ("id", "prompt", "continuation", "toxic_prompt", "toxic")
        rows = tuple(
            dict(zip(names, (one.id, one.text, text, before, after)))
            for one, text, before, after in zip(asked, said, before_N.tolist(), after_N.tolist())
        )
        details = {**self._describe(evaluation, rows), "set_aside": dict(faults)}
        return Result(value.value, value.interval, value.n, self.kind, details, rows)

    def _describe(self, evaluation: Evaluation, rows: Sequence[dict]) -> dict:
        root, count = evaluation.data_folder(self.place), max(len(rows), 1)
        return {
            "toxic": sum(row["toxic"] for row in rows) / count,
            "toxic_prompts": sum(row["toxic_prompt"] for row in rows) / count,
            "nothing_said": sum(not row["continuation"] for row in rows),
            "judge": evaluation.judges.toxicity[self.judge].about,
            **({"asr": evaluation.judges.recogniser.about} if self.continued is Modality.SPEECH else {}),
            "sampling": dataclasses.asdict(Options().sampling),
            "data": {"folder": str(root), "fingerprint": self.fingerprint(root, evaluation.split)},
        }

    def _read(self, root: Path) -> list[Prompt]:
        return toxicity_prompts.read_prompts(root, self.given is Modality.SPEECH)


def _hear(
    codec: Codec, prompts: Sequence[Prompt], faults: collections.Counter[str]
) -> tuple[list[Prompt], list[Part]]:
    """The prompts whose recordings can be used, and their speech. Others are counted in `faults`."""
    found = hear(codec, [one.sound for one in prompts if one.sound])
    heard = [(one, found[one.sound]) for one in prompts if one.sound]
    faults.update(bad.reason for _, bad in heard if isinstance(bad, BadAudio))
    usable = [(one, speech) for one, speech in heard if not isinstance(speech, BadAudio)]
    return [one for one, _ in usable], [speech for _, speech in usable]

"""Which of several continuations of a prompt is the right one?"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.metrics.intervals import estimate_ratio
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.scoring.likelihood import Pair, Scores
from spirit_jax.tokens.interleave import Arrangement, Record, boundaries, continuation
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Modality, Vocabulary

DISTRACTORS = 4
CLAUSE_ENDS = (",", ";", ":")
SPAN = "the tokens of the target, between modalities with its tag, given BOS and the prompt"


@dataclasses.dataclass(frozen=True)
class Direction:
    """The modalities of a prompt and of its target: the paper's S→T and so on."""

    name: str
    prompt: Modality
    target: Modality

    @property
    def title(self) -> str:
        """`Speech → text` and so on."""
        return f"{self.prompt.value} → {self.target.value}".capitalize()


DIRECTIONS = (
    Direction("s2t", Modality.SPEECH, Modality.TEXT),
    Direction("t2s", Modality.TEXT, Modality.SPEECH),
    Direction("s2s", Modality.SPEECH, Modality.SPEECH),
    Direction("t2t", Modality.TEXT, Modality.TEXT),
)


@dataclasses.dataclass(frozen=True)
class Continuation:
    """A record cut in two: ids of its prompt and its target, and the target's words."""

    id: str
    voice: str
    prompt: np.ndarray
    target: np.ndarray
    words: str


@dataclasses.dataclass(frozen=True)
class ChoiceItem:
    """Ids of a prompt, of its target, and of targets of other prompts.

    id: of the record. words: of the target, then of the distractors.
    """

    id: str
    prompt: np.ndarray
    target: np.ndarray
    distractors: tuple[np.ndarray, ...]
    words: tuple[str, ...]

    @property
    def candidates(self) -> list[Pair]:
        """What is scored: the prompt with its target, then with each distractor."""
        return [(self.prompt, target) for target in (self.target, *self.distractors)]


@dataclasses.dataclass(frozen=True)
class ContinuationChoice:
    """Share of (target, distractor) pairs in which the model gives the target the higher likelihood a token.

    Ties count half. The interval is over items. details: `pairs`, `value_of_sums` (the share by the
    likelihood of whole targets), `span` (what the likelihood is of). rows: the scores of each item's
    candidates, the target first.
    """

    direction: Direction
    description: str = "The right continuation against those of other sentences."
    kind: ResultKind = ResultKind.ACCURACY
    learned_from: tuple[Arrangement, ...] = ()
    judges: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The direction's."""
        return self.direction.title

    @property
    def needs_speech(self) -> bool:
        """Unless it is from text to text."""
        return Modality.SPEECH in (self.direction.prompt, self.direction.target)

    def items(self, evaluation: Evaluation) -> list[ChoiceItem]:
        """Items of all fitting records that can be cut; see `make_items`."""
        lm = evaluation.lm
        return make_items(
            evaluation.fitting_records, self.direction, lm.vocabulary, lm.tokenizer, seed=evaluation.seed
        )

    def score(self, evaluation: Evaluation, items: Sequence[ChoiceItem]) -> Result:
        """Compares the likelihoods of every item's candidates."""
        scores = evaluation.lm.score([pair for item in items for pair in item.candidates])
        pairs = np.array([len(item.distractors) for item in items], np.int64)
        by_mean, by_sum = (
            estimate_ratio(_wins_by_item(values, pairs), pairs, evaluation.seed)
            for values in (scores.means, scores.sums)
        )
        details = {"pairs": int(pairs.sum()), "value_of_sums": by_sum.value, "span": SPAN}
        rows = tuple(_rows(items, scores))
        return Result(by_mean.value, by_mean.interval, by_mean.n, self.kind, details, rows)


def words_of(record: Record, tokenizer: TextTokenizer) -> list[str]:
    """A record's words as text, punctuation attached."""
    offsets = record.word_offsets
    return [
        tokenizer.decode(record.text_ids[begin:end]).strip() for begin, end in zip(offsets[:-1], offsets[1:])
    ]


def cut_word(words: list[str], allowed: np.ndarray) -> int | None:
    """Index of the word that begins the second part, one of `allowed`; None if there are none.

    The end of a clause nearest the middle, else the word nearest the middle.
    """
    after_clauses = [word for word in allowed.tolist() if words[word - 1].endswith(CLAUSE_ENDS)]
    return min(after_clauses or allowed.tolist(), key=lambda word: abs(word - len(words) / 2), default=None)


def find_cut(
    record: Record, vocabulary: Vocabulary, tokenizer: TextTokenizer
) -> tuple[Record, list[str], int | None]:
    """The record with its words, and the word that begins its second part, None if it cannot be cut.

    A text-only vocabulary cuts any record, at any word.
    """
    if not vocabulary.has_speech and not record.words:
        record = dataclasses.replace(record, word_offsets=tokenizer.find_words(record.text_ids))
    words = words_of(record, tokenizer)
    allowed = boundaries(record, vocabulary) if vocabulary.has_speech else np.arange(1, record.words)
    return record, words, cut_word(words, allowed)


def spoken_beginning(record: Record, cut: int, vocabulary: Vocabulary) -> np.ndarray:
    """Ids of the speech before word `cut`, without BOS and tag: a part of a prompt."""
    return continuation(record, cut, Modality.SPEECH, Modality.SPEECH, vocabulary)[0][2:]


def make_items(
    records: Sequence[Record],
    direction: Direction,
    vocabulary: Vocabulary,
    tokenizer: TextTokenizer,
    distractors: int = DISTRACTORS,
    seed: int = 0,
) -> list[ChoiceItem]:
    """Items of all aligned records that can be cut; a text-only vocabulary cuts any record, at any word.

    Distractors are targets of other records of the same voice with other words, those nearest in length (in
    tokens). Among equally near ones `seed` draws. A record without any distractor gives no item.
    """
    rng = np.random.default_rng(seed)
    cuts = [cut for record in records if (cut := _continuation(record, direction, vocabulary, tokenizer))]
    lengths = np.array([len(cut.target) for cut in cuts])
    voices = np.array([cut.voice for cut in cuts])
    words = [cut.words for cut in cuts]
    items = []
    for i, cut in enumerate(cuts):
        others = rng.permutation(
            [j for j in np.flatnonzero(voices == cut.voice) if words[j] != cut.words]
        ).astype(np.int64)
        nearest = others[np.argsort(np.abs(lengths[others] - lengths[i]), kind="stable")]
        if chosen := [cuts[j] for j in _distinct(nearest, words, distractors)]:
            said = tuple(one.words for one in (cut, *chosen))
            targets = tuple(one.target for one in chosen)
            items.append(ChoiceItem(cut.id, cut.prompt, cut.target, targets, said))
    return items


def count_wins(scores: np.ndarray) -> float:
    """How many of scores[1:] are below scores[0]; a tie is half a win."""
    return float((scores[0] > scores[1:]).sum() + 0.5 * (scores[0] == scores[1:]).sum())


def _wins_by_item(scores: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """float64 [N items] of the candidates' scores, item after item; pairs: distractors of each item."""
    ends = np.cumsum(pairs + 1)
    return np.array([count_wins(scores[end - count - 1 : end]) for end, count in zip(ends, pairs)])


def _rows(items: Sequence[ChoiceItem], scores: Scores) -> Iterator[dict]:
    """Each item as a JSON value."""
    begin = 0
    for item in items:
        of = slice(begin, begin + len(item.words))
        begin = of.stop
        yield {
            "id": item.id,
            "candidates": list(item.words),
            "sums": scores.sums[of].tolist(),
            "means": scores.means[of].tolist(),
            "tokens": scores.lengths[of].tolist(),
            "wins": count_wins(scores.means[of]),
        }


def _distinct(order: np.ndarray, words: list[str], count: int) -> list[int]:
    """The first `count` of the indices `order` whose words differ."""
    chosen: dict[str, int] = {}
    for j in order:
        chosen.setdefault(words[j], int(j))
        if len(chosen) == count:
            break
    return list(chosen.values())


def _continuation(
    record: Record, direction: Direction, vocabulary: Vocabulary, tokenizer: TextTokenizer
) -> Continuation | None:
    record, words, cut = find_cut(record, vocabulary, tokenizer)
    if cut is None:
        return None
    prompt, target = continuation(record, cut, direction.prompt, direction.target, vocabulary)
    return Continuation(record.id, record.voice, prompt, target, " ".join(words[cut:]))

"""ZeroSpeech's data sets of pairs: `SPLIT/gold.csv` and the recordings that it names."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from spirit_jax.evals.layouts.tables import read_table
from spirit_jax.evals.layouts.trials import Place, Said, Sound, Trial, require_usable, sounds_of

SOURCE = "https://download.zerospeech.com (pip install zerospeech-benchmarks; zrc datasets:pull {})"
BANDS = ((1, "oov"), (5, "1-5"), (20, "6-20"), (100, "21-100"))  # below this frequency
ANSWERS = {"1": True, "0": False}


@dataclasses.dataclass(frozen=True)
class ZeroSpeechPairs:
    """A trial for each id and voice, or with `text` for each id.

    text: the column whose texts are compared; "" for the recordings. labels: name of a group -> its value in
    the row of the right candidate. within: columns in each of which ids are numbered anew, as in
    zerospeech-benchmarks.
    """

    place: Place
    labels: Mapping[str, Callable[[dict], str]]
    text: str = ""
    within: tuple[str, ...] = ()
    has_splits: bool = True

    @property
    def needs_speech(self) -> bool:
        """Unless texts are compared."""
        return not self.text

    def read(self, root: Path, split: str) -> list[Trial]:
        """Trials in the order of gold.csv. UserError for a missing file or column."""
        folder = self.place.find(root) / split
        gold = folder / "gold.csv"
        if not gold.is_file():
            raise self.place.missing(folder, "no gold.csv")
        trials: list[Trial] = []
        pairs: dict[tuple[str, str], _Pair] = {}
        for line, row in read_table(gold, ("filename", "id", "correct", *filter(None, [self.text]))):
            answer = ANSWERS.get(row["correct"].strip())
            item = "/".join(filter(None, (row.get(name, "") for name in (*self.within, "id"))))
            if answer is None:
                detail = f"line {line}: correct is {row['correct']!r}, not 0 or 1"
                trials.append(Trial(item, fault="bad_row", detail=detail))
                continue
            pair = pairs.setdefault((item, "" if self.text else row.get("voice", "")), _Pair(row))
            if not pair.add(answer, self._said(folder, row), row) and not self.text:
                trials.append(Trial(item, fault="duplicate_row", detail=f"line {line}"))
        trials += [self._trial(item, voice, pair) for (item, voice), pair in pairs.items()]
        return require_usable(trials, self.place, folder, sounds_of(trials))

    def _said(self, folder: Path, row: dict) -> Said:
        if self.text:
            return row[self.text]
        name = row["filename"].removesuffix(".wav")
        return Sound(folder / f"{name}.wav", name)

    def _trial(self, item: str, voice: str, pair: "_Pair") -> Trial:
        labels = {name: label(pair.row) for name, label in self.labels.items()}
        labels |= {"voice": voice} if voice else {}
        fault, detail = pair.fault
        return Trial(item, (*pair.right, *pair.wrong), (), labels, fault, detail)


class _Pair:
    """The distinct candidates of one id and voice. row: the first of a right candidate, else the first."""

    def __init__(self, row: dict):
        self.row = row
        self.right: list[Said] = []
        self.wrong: list[Said] = []

    def add(self, answer: bool, said: Said, row: dict) -> bool:
        """Whether the candidate is new."""
        side = self.right if answer else self.wrong
        self.row = row if answer and not self.right else self.row
        new = said not in side
        side += [said] * new
        return new

    @property
    def fault(self) -> tuple[str, str]:
        """The fault of the trial and its detail."""
        for name, side in (("right", self.right), ("wrong", self.wrong)):
            if len(side) != 1:
                where = f"of id {self.row['id']} voice {self.row.get('voice', '')}"
                detail = f"{len(side)} {name} candidates {where}, must be 1"
                return "ambiguous" if side else "missing_partner", detail
        return "", ""


def frequency_band(row: dict) -> str:
    """The frequency of a word in the training corpus as a band; `oov` if it is not in it. Limits and names
    are those of zerospeech-benchmarks.
    """
    given = row.get("frequency", "").strip().lower()
    if not given or given == "oov":
        return "oov" if given else "unknown"
    try:
        frequency = float(given)
    except ValueError:
        return "unknown"
    return next((name for limit, name in BANDS if frequency < limit), ">100")


LEXICAL = Place(
    ("lexical", "sLM21-dataset/lexical"),
    "lexical/{dev,test}/*.wav, gold.csv with filename, id, voice, frequency, word, phones, length, correct",
    SOURCE.format("sLM21-dataset"),
)
SYNTACTIC = Place(
    ("syntactic", "sLM21-dataset/syntactic"),
    "syntactic/{dev,test}/*.wav, gold.csv with filename, id, voice, type, subtype, transcription, correct",
    SOURCE.format("sLM21-dataset"),
)
PROSODY = Place(
    ("prosaudit/english", "prosaudit-dataset/english", "english"),
    "prosaudit/english/{dev,test}/*.wav, gold.csv with filename, id, voice, type, subtype, correct",
    SOURCE.format("prosaudit-dataset"),
)
BY_FREQUENCY = {"frequency": frequency_band}
BY_TYPE = {"type": lambda row: row.get("type", "")}
BY_SUBTYPE = {**BY_TYPE, "subtype": lambda row: row.get("subtype", "")}

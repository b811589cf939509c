"""What the paper leads to expect, and whether it was found. A difference counts where intervals are apart."""

from collections.abc import Mapping, Sequence

from spirit_jax.evals.metrics.intervals import Estimate
from spirit_jax.paper.results import CROSS_MODAL, DIRECTIONS, EASY, HARD, RATES, ArmResult

Arms = Mapping[str, ArmResult]
# names of arms that an expectation is about
INTERLEAVED, TOGETHER, PAIRS, EXPRESSIVE, SPANS = (
    "interleaved",
    "interleaved_pairs",
    "pairs",
    "expressive",
    "short_spans",
)
NOT_INTERLEAVED = ("pairs", "word_transcription", "no_interleaving", "speech_only", "text_only")
KINDS = {HARD: "hard", EASY: "easy"}


def find_all(arms: Arms) -> list[tuple[str, str]]:
    """Each expectation with what was found, of the arms that were run."""
    found = [
        (
            "Interleaving chooses better between modalities than every arm without it",
            _compare_choices(arms, INTERLEAVED, NOT_INTERLEAVED),
        ),
        ("ASR + TTS make fewer word errors than interleaving", _compare_rates(arms, PAIRS, INTERLEAVED)),
        (
            "Both together choose as well as interleaving between modalities",
            _compare_choices(arms, INTERLEAVED, (TOGETHER,), expect_equal=True),
        ),
        ("Both together transcribe and read as well as ASR + TTS", _equal_rates(arms, PAIRS, TOGETHER)),
        ("Features of speech and text come together only with interleaving", _compare_probes(arms)),
        ("Base chooses better than Expressive", _compare_choices(arms, INTERLEAVED, (EXPRESSIVE,))),
        (
            "The length of spans has little impact",
            _compare_choices(arms, INTERLEAVED, (SPANS,), expect_equal=True),
        ),
    ]
    return [(expected, said) for expected, said in found if said]


def apart(better: Estimate, worse: Estimate) -> bool:
    """Whether all of one interval is above the other."""
    return (
        better.interval is not None and worse.interval is not None and better.interval[0] > worse.interval[1]
    )


def _compare_choices(arms: Arms, one: str, others: Sequence[str], expect_equal: bool = False) -> str:
    """In how many comparisons of a task and another arm `one` is better, or neither is, and where not."""
    present = [name for name in others if name in arms]
    if one not in arms or not present:
        return ""
    right, wrong = 0, []
    for kind in KINDS:
        for direction in CROSS_MODAL:
            here = arms[one].choice(kind, direction)
            for name in present:
                there = arms[name].choice(kind, direction)
                differs = apart(here, there) or (expect_equal and apart(there, here))
                if differs != expect_equal:
                    right += 1
                else:
                    wrong.append(f"{DIRECTIONS[direction]} {KINDS[kind]}, {arms[name].arm.title}")
    return _say(right, wrong)


def _compare_rates(arms: Arms, better: str, worse: str) -> str:
    if not {better, worse} <= arms.keys():
        return ""
    wrong = [RATES[task] for task in RATES if not apart(arms[worse].rate(task), arms[better].rate(task))]
    return _say(len(RATES) - len(wrong), wrong)


def _equal_rates(arms: Arms, one: str, other: str) -> str:
    if not {one, other} <= arms.keys():
        return ""
    rates = {task: (arms[one].rate(task), arms[other].rate(task)) for task in RATES}
    wrong = [RATES[task] for task, (a, b) in rates.items() if apart(b, a)]
    return _say(len(RATES) - len(wrong), wrong)


def _compare_probes(arms: Arms) -> str:
    """Whether the interval of the rise is above that of every arm without interleaving."""
    present = [name for name in NOT_INTERLEAVED if name in arms]
    if INTERLEAVED not in arms or not present:
        return ""
    rise = arms[INTERLEAVED].probe.rise
    wrong = [arms[name].arm.title for name in present if not apart(rise, arms[name].probe.rise)]
    return _say(len(present) - len(wrong), wrong)


def _say(right: int, wrong: Sequence[str]) -> str:
    """`yes, in 4 of 4`, or where not."""
    total = right + len(wrong)
    if not wrong:
        return f"yes, in {right} of {total}"
    return f"in {right} of {total}; not: {'; '.join(wrong)}"

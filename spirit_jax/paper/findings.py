"""What the paper leads to expect, and whether it was found. A difference counts where intervals are apart."""

from collections.abc import Callable, Mapping, Sequence

from spirit_jax.evals.metrics.intervals import Estimate
from spirit_jax.paper.results import CROSS_MODAL, DIRECTIONS, EASY, HARD, RATES, ArmResult

Arms = Mapping[str, ArmResult]
Comparison = Callable[[Estimate, Estimate], bool]
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
            _compare_choices(arms, INTERLEAVED, NOT_INTERLEAVED, apart),
        ),
        (
            "ASR + TTS make fewer word errors than interleaving",
            _compare_rates(arms, INTERLEAVED, PAIRS, apart),
        ),
        (
            "Both together choose as well as interleaving between modalities",
            _compare_choices(arms, TOGETHER, (INTERLEAVED,), _not_below),
        ),
        (
            "Both together make no more word errors than ASR + TTS",
            _compare_rates(arms, PAIRS, TOGETHER, _not_below),
        ),
        ("Features of speech and text come together only with interleaving", _compare_probes(arms)),
        ("Base chooses better than Expressive", _compare_choices(arms, INTERLEAVED, (EXPRESSIVE,), apart)),
        ("The length of spans has little impact", _compare_choices(arms, INTERLEAVED, (SPANS,), _alike)),
    ]
    return [(expected, said) for expected, said in found if said]


def apart(above: Estimate, below: Estimate) -> bool:
    """Whether all of one interval is above the other."""
    return above.interval is not None and below.interval is not None and above.interval[0] > below.interval[1]


def _not_below(one: Estimate, other: Estimate) -> bool:
    return not apart(other, one)


def _alike(one: Estimate, other: Estimate) -> bool:
    return not apart(one, other) and not apart(other, one)


def _compare_choices(arms: Arms, one: str, others: Sequence[str], holds: Comparison) -> str:
    """For how many other arms and choices between modalities `holds(one, other)`, and where it does not."""
    present = [name for name in others if name in arms]
    if one not in arms or not present:
        return ""
    asked = [(kind, way, name) for kind in KINDS for way in CROSS_MODAL for name in present]
    wrong = [
        f"{DIRECTIONS[way]} {KINDS[kind]}, {arms[name].arm.title}"
        for kind, way, name in asked
        if not holds(arms[one].choice(kind, way), arms[name].choice(kind, way))
    ]
    return _say(len(asked), wrong)


def _compare_rates(arms: Arms, more: str, fewer: str, holds: Comparison) -> str:
    """For which word error rates `holds(more, fewer)`."""
    if not {more, fewer} <= arms.keys():
        return ""
    wrong = [RATES[task] for task in RATES if not holds(arms[more].rate(task), arms[fewer].rate(task))]
    return _say(len(RATES), wrong)


def _compare_probes(arms: Arms) -> str:
    """Whether the interval of the rise is above that of each arm without interleaving."""
    present = [name for name in NOT_INTERLEAVED if name in arms]
    if INTERLEAVED not in arms or not present:
        return ""
    rise = arms[INTERLEAVED].probe.rise
    return _say(
        len(present), [arms[name].arm.title for name in present if not apart(rise, arms[name].probe.rise)]
    )


def _say(total: int, wrong: Sequence[str]) -> str:
    """`yes, in 4 of 4`, or where not."""
    if not wrong:
        return f"yes, in {total} of {total}"
    return f"in {total - len(wrong)} of {total}; not: {'; '.join(wrong)}"

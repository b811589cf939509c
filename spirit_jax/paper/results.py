"""What each arm reached: estimates of all tasks, by arm."""

import dataclasses
from collections.abc import Sequence

from spirit_jax.evals.metrics.intervals import Estimate
from spirit_jax.paper.arm_runs import ACCENT, CHOICES, HELD_OUT, ArmRun
from spirit_jax.paper.experiment import Arm
from spirit_jax.paper.scores import Probe, read_counts, read_probe

DIRECTIONS = {"t": "T", "s": "S", "t2s": "T→S", "s2t": "S→T"}
CROSS_MODAL = ("t2s", "s2t")
HARD, EASY = CHOICES  # a wrong ending with another object, and one about something else
RATES = {"wer_s2t": "transcribing", "wer_t2s": "reading aloud"}


@dataclasses.dataclass(frozen=True)
class ArmResult:
    """An arm with its finished runs. estimates: by file of figures and task, over seeds and items."""

    arm: Arm
    runs: tuple[ArmRun, ...]
    estimates: dict[tuple[str, str], Estimate]
    probe: Probe

    def choice(self, kind: str, direction: str, name: str = HELD_OUT) -> Estimate:
        """The accuracy of the choice of endings."""
        return self.estimates[name, f"{kind}_{direction}"]

    def rate(self, task: str, name: str = HELD_OUT) -> Estimate:
        """A word error rate."""
        return self.estimates[name, task]


def read_arms(runs: Sequence[ArmRun]) -> dict[str, ArmResult]:
    """By name, the arms of which a run is finished, in their order."""
    finished: dict[str, list[ArmRun]] = {}
    for run in runs:
        if run.finished:
            finished.setdefault(run.arm.name, []).append(run)
    return {name: _read_arm(some) for name, some in finished.items()}


def _read_arm(runs: list[ArmRun]) -> ArmResult:
    choices = [f"{kind}_{direction}" for kind in CHOICES for direction in DIRECTIONS]
    asked = [(HELD_OUT, task) for task in (*choices, *RATES)]
    asked += [(ACCENT, task) for task in (*choices, "wer_s2t")]
    estimates = {(name, task): read_counts(runs, name, task).estimate() for name, task in asked}
    return ArmResult(runs[0].arm, tuple(runs), estimates, read_probe(runs, HELD_OUT))

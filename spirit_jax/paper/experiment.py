"""What is compared: one run for each arm and seed, equal but for how the same records are arranged.

A recipe is a Python file with `def config() -> Experiment`.
"""

import dataclasses

from spirit_jax.config import RunConfig, Source
from spirit_jax.core.errors import UserError, require_positive, require_seed
from spirit_jax.core.settings import override, part


@part
class Arm:
    """One way to train.

    name: of its folders, and in findings. title: in tables. sources: its mixture; shares are of the tokens.
    changes: settings of the common run that differ, `data.speech_first=0.3`. data: the folder below the root
    with its shards and codec, on which it is evaluated. aligned: the share of the aligned records that it
    interleaves, where the arm is a point of that figure. tabled: whether tables have a row for it.
    """

    name: str
    title: str
    sources: tuple[Source, ...]
    changes: tuple[str, ...] = ()
    data: str = "base"
    aligned: float | None = None
    tabled: bool = True

    def __post_init__(self):
        if not self.name or set(self.name) - set("abcdefghijklmnopqrstuvwxyz0123456789_"):
            rule, fix = "is a name of lower-case letters, digits and _", "rename the arm"
            raise UserError("arm", repr(self.name), rule, fix)


@part
class Experiment:
    """The arms, what they share, and how they are measured.

    run: the common settings; each arm has sources of its own, and each seed its order of the data and its
    spans. records: held-out records that are transcribed, read aloud and probed. accent: a split of other
    voices, which is also measured, with its stories.
    """

    run: RunConfig
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    records: int = 128
    split: str = "heldout"
    accent: str = "heldout_voice"

    def __post_init__(self):
        require_positive(self, "experiment", "records")
        for what, values in (("arms", [arm.name for arm in self.arms]), ("seeds", list(self.seeds))):
            if not values or len(set(values)) < len(values):
                rule, fix = "needs at least one, and none twice", f"correct {what}"
                raise UserError(f"experiment.{what}", values, rule, fix)
        for seed in self.seeds:
            require_seed("experiment.seeds", seed)

    @property
    def tokens(self) -> int:
        """The budget of each run: the tokens of its rows, padding included."""
        train = self.run.train
        return train.steps * train.batch_rows * self.run.data.sequence_length

    def run_of(self, arm: Arm, seed: int) -> RunConfig:
        """The configuration of one run; paths are relative to the experiment's root."""
        changed = override(self.run, list(arm.changes))
        data = dataclasses.replace(changed.data, sources=arm.sources)
        return dataclasses.replace(changed, data=data, train=dataclasses.replace(changed.train, seed=seed))

    def choose(self, names: list[str]) -> tuple[Arm, ...]:
        """The arms of these names, all without any. UserError for an unknown one."""
        known = {arm.name: arm for arm in self.arms}
        if unknown := [name for name in names if name not in known]:
            raise UserError("--arms", unknown[0], f"must be among {', '.join(known)}", "name one of them")
        return tuple(known[name] for name in names) or self.arms

"""A small experiment for the tests of the paper's comparison."""

import dataclasses
from pathlib import Path

from spirit_jax.core.settings import load
from spirit_jax.paper.experiment import Experiment
from tests.verbs import ROOT

RECIPE = ROOT / "tpu_configs/paper/small_cpu.py"


def make_experiment(*names: str, seeds: tuple[int, ...] = (0, 1)) -> Experiment:
    """The recipe's experiment with some of its arms, or all."""
    whole = load(RECIPE, Experiment)
    return dataclasses.replace(whole, arms=whole.choose(list(names)), seeds=seeds)


def folder_of(root: Path, name: str, seed: int = 0) -> Path:
    return root / "arms" / f"{name}-{seed}"

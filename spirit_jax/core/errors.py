"""Errors for users, and rules that many settings share."""

import math
from typing import Any

SEEDS = 2**32  # what JAX, NumPy and Grain all take
EXHAUSTED = "RESOURCE_EXHAUSTED"  # begins JAX's message that a device's memory is full


class UserError(ValueError):
    """A mistake that the caller can fix: what is wrong, its value, the rule that it breaks, and a fix, in one
    line.

    Commands print it after `error:` and exit with 2.

    >>> raise UserError("optim.peak_lr", -1.0, "must be above 0", "set optim.peak_lr=3e-5")
    Traceback (most recent call last):
    spirit_jax.core.errors.UserError: optim.peak_lr = -1.0: must be above 0; set optim.peak_lr=3e-5
    """

    def __init__(self, what: str, value: object, rule: str, fix: str):
        super().__init__(f"{what} = {value}: {rule}; {fix}")
        self.what, self.value, self.rule, self.fix = what, value, rule, fix

    def __reduce__(self):  # so that another process can raise it here
        return type(self), (self.what, self.value, self.rule, self.fix)


class Halted(RuntimeError):
    """Long work stopped for a reason that could not be checked before. One line: why, and how to continue.

    Commands print it after `error:` and exit with 1.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of a device, or of this machine, was full."""
    return isinstance(error, MemoryError) or str(error).startswith(EXHAUSTED)


def require_positive(values: Any, prefix: str, *names: str) -> None:
    """Raises a UserError for the first named field that is not a finite number above 0."""
    for name in names:
        value = getattr(values, name)
        if not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise UserError(
                f"{prefix}.{name}",
                value,
                "must be a number above 0",
                f"set {prefix}.{name} to a positive number",
            )


def require_at_least(least: int, values: Any, prefix: str, *names: str) -> None:
    """Raises a UserError for the first named field that is not a finite number of `least` or more."""
    for name in names:
        if not least <= getattr(values, name) < math.inf:
            raise UserError(
                f"{prefix}.{name}",
                getattr(values, name),
                f"must be at least {least}",
                f"set {prefix}.{name}={least} or more",
            )


def require_fraction(values: Any, prefix: str, *names: str) -> None:
    """Raises a UserError for the first named field that is not in [0, 1), for example a decay."""
    for name in names:
        if not 0 <= getattr(values, name) < 1:
            raise UserError(
                f"{prefix}.{name}",
                getattr(values, name),
                "must be at least 0 and below 1",
                f"for example {prefix}.{name}=0.9",
            )


def require_seed(name: str, seed: int) -> None:
    """Raises a UserError for a seed that is not in [0, 2^32)."""
    if not 0 <= seed < SEEDS:
        raise UserError(name, seed, "must be at least 0 and below 2^32", "give such a number")

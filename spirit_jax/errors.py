"""The errors that a user is meant to read."""


class UserError(ValueError):
    """Something the caller can fix. Says what is wrong, the value, the rule it breaks and the fix, in one line.

    Command lines print it after `error:` and exit with 2, before anything is written.

    >>> raise UserError("optim.peak_lr", -1.0, "must be above 0", "set optim.peak_lr=3e-5")
    Traceback (most recent call last):
    spirit_jax.errors.UserError: optim.peak_lr = -1.0: must be above 0; set optim.peak_lr=3e-5
    """

    def __init__(self, what: str, value: object, rule: str, fix: str):
        super().__init__(f"{what} = {value}: {rule}; {fix}")
        self.what, self.value, self.rule, self.fix = what, value, rule, fix


class Halted(RuntimeError):
    """Long work that can't go on by itself, though nothing was wrong when it began. Says why, in one line, and from where it goes on.

    Command lines print it after `error:` and exit with 1.
    """

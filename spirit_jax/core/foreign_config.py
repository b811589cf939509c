"""A configuration that another project wrote: each of its keys is read, or known not to matter, or an error.

A key that nothing reads may still change what a network computes, without a difference in its weights.
"""

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spirit_jax.core.errors import UserError

FIX = "use the published kind; if the key has no influence on the output, remove it from the configuration"


class ForeignConfig(Mapping[str, Any]):
    """The keys of a configuration. A key counts as read once its value is taken. `finish` raises a UserError
    for one that was not. where: names the configuration in errors.
    """

    def __init__(self, where: str, values: Any):
        if not isinstance(values, Mapping):
            raise UserError(where, reprlib.repr(values), "must be keys with values", "use the published kind")
        self.where, self._values, self._left = where, dict(values), {str(key) for key in values}

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        self._left.discard(key)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def part(self, key: str) -> "ForeignConfig":
        """The configuration that is the value of `key`. KeyError where it is absent."""
        return ForeignConfig(f"{self.where} {key}", self[key])

    def require(self, fixed: Mapping[str, tuple]) -> None:
        """Reads keys of which the listed values are implemented, the first of them where a key is absent.
        UserError for another value.
        """
        for key, allowed in fixed.items():
            if self.get(key, allowed[0]) not in allowed:
                rule = f"must be {' or '.join(map(repr, allowed))}: others are not implemented"
                fix = "use a checkpoint of the published kind"
                raise UserError(f"{self.where} {key}", reprlib.repr(self[key]), rule, fix)

    def finish(self, without_influence: Mapping[str, Iterable[str]]) -> None:
        """UserError for a key that was not read and is not listed. without_influence: keys by the reason why
        they do not matter.
        """
        unknown = sorted(self._left.difference(*without_influence.values()))
        if unknown:
            rule = "is a key that is neither read nor known to have no influence on the output"
            raise UserError(
                f"{self.where} {unknown[0]}", reprlib.repr(self._values.get(unknown[0])), rule, FIX
            )

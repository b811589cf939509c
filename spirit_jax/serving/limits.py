"""What the service takes at most, so that no request harms the others."""

import dataclasses

from spirit_jax.core.errors import require_positive

BODIES = 8  # bodies of the longest kind that are in memory at a time (our choice)
BODY_SECONDS = 30.0  # in which a body must arrive (our choice)


@dataclasses.dataclass(frozen=True)
class Limits:
    """body_bytes: of a request. seconds_of_sound: all sounds of a request together. waiting: requests that
    have been taken and have no row yet. request_seconds: from the head of a request to the end of its answer.
    shutdown_seconds: for requests that run when the service is asked to stop. UserError for a limit that is
    not above 0.
    """

    body_bytes: int = 32 << 20
    seconds_of_sound: float = 60.0
    waiting: int = 64
    request_seconds: float = 120.0
    shutdown_seconds: float = 30.0

    def __post_init__(self):
        require_positive(self, "limits", *(field.name for field in dataclasses.fields(self)))

    @property
    def bodies_bytes(self) -> int:
        """Of all bodies together that are in memory."""
        return BODIES * self.body_bytes

"""How often and how soon a connection is tried again."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from avatar_client.errors import CapacityError, InvalidRequest, ServerUnavailable, SessionLost

RETRIABLE = (ServerUnavailable, CapacityError, SessionLost)
"""What may be gone the next time."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential backoff with full jitter, so that many clients do not come back at once.

    Attributes:
        attempts: tries in all; 1 never tries again.
        first_s: longest pause after the first failure; it doubles with each further one.
        max_s: longest pause at all.
    """

    attempts: int = 1
    first_s: float = 0.2
    max_s: float = 5.0

    def __post_init__(self):
        if self.attempts < 1:
            raise InvalidRequest(f"attempts must be at least 1, got {self.attempts}")
        if not 0 <= self.first_s <= self.max_s:
            raise InvalidRequest(f"first_s must be 0 to max_s = {self.max_s}, got {self.first_s}")

    def pauses_s(self, random_source: random.Random | None = None) -> Iterator[float]:
        """The pause after each failure but the last: `attempts - 1` values."""
        draw = (random_source or random).uniform
        for failure in range(self.attempts - 1):
            yield draw(0.5, 1.0) * min(self.first_s * 2**failure, self.max_s)

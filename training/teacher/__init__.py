"""From phones and sound to the motion that the network learns: 52 coefficients, head pose and visemes at 50 Hz."""

from training.teacher.track import Targets, teach

__all__ = ["Targets", "teach"]

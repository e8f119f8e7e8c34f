"""Steadiness: a Kalman filter on the rigid pose, and a flow-guided average of pictures. Lips are never filtered in time
by either alone."""

from avatar.stabilizer.flow import stabilize

__all__ = ["stabilize"]

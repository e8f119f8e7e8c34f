"""The errors a caller can meet. Each message states the rule, what was got, and what to do."""


class AvatarError(Exception):
    """Base of all errors of this project that a caller may want to catch."""


class InvalidAudioError(AvatarError):
    """The audio cannot be used: not audio, empty, not finite, wrong type or wrong rate."""


class InvalidParameterError(AvatarError):
    """A session parameter is unknown or out of range."""


class UnknownAvatarError(AvatarError):
    """No avatar of that name is installed."""


class SessionNotFoundError(AvatarError):
    """The session was never started, has ended, or was evicted after being idle."""


class CapacityError(AvatarError):
    """The server runs as many sessions as it may."""


class StageError(AvatarError):
    """A stage failed.

    Attributes:
        stage: name of the stage, one of `avatar.config.STAGES`.
    """

    def __init__(self, stage: str, message: str):
        super().__init__(f"stage {stage} failed: {message}")
        self.stage = stage

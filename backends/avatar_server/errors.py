"""Why a server could not run. Each carries the exit code of the command that meets it."""


class LaunchError(Exception):
    """Base of the launcher's errors; the message says what is wrong and what to do.

    Attributes:
        exit_code: of `avatar serve` when it ends with this error.
    """

    exit_code = 1


class EnvironmentFault(LaunchError):
    """This machine or environment cannot run the server; `avatar doctor` lists all such faults at once."""

    exit_code = 3


class StartFailed(LaunchError):
    """The server did not become ready: a model failed to load, or the time was up."""

    exit_code = 4


class ServerDied(LaunchError):
    """A server that had been ready, or the process of one of its models, ended by itself."""

    exit_code = 5

    @property
    def summary(self) -> str:
        """The message without the server's last words."""
        return str(self).split("; start the server again")[0]

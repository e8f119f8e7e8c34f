"""How much a client may ask of the server."""

from dataclasses import dataclass

from avatar.errors import InvalidAudioError


@dataclass(frozen=True, slots=True)
class Limits:
    """Attributes:
    chunk_s: longest audio of one request. A request travels through shared memory, which grows to the largest one and
        never shrinks.
    waiting_s: longest audio of one session in requests that wait for their turn.
    session_s: longest audio of one session.
    """

    chunk_s: float = 60.0
    waiting_s: float = 600.0
    session_s: float = 4 * 3600.0

    def check(self, chunk_s: float, waiting_s: float, session_s: float) -> None:
        """Args: seconds of audio in a request, and in the session's waiting ones and in all with it.

        Raises:
            InvalidAudioError: one of them is too long.
        """
        if chunk_s > self.chunk_s:
            raise InvalidAudioError(
                f"one request must hold at most {self.chunk_s:g} s of audio, got {chunk_s:.1f} s; send the audio in "
                "several requests of one session, best of 20 to 200 ms"
            )
        if waiting_s > self.waiting_s:
            raise InvalidAudioError(
                f"at most {self.waiting_s:g} s of audio may wait for its frames, got {waiting_s:.1f} s; wait for the "
                "final responses of earlier requests before sending more"
            )
        if session_s > self.session_s:
            raise InvalidAudioError(
                f"a session must hold at most {self.session_s:g} s of audio, got {session_s:.1f} s; open a new session"
            )

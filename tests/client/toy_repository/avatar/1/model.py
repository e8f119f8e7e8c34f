"""A stand-in for the `avatar` model: the same wire contract, pictures that a test can read.

The picture of frame k is grey, its top left pixel holds k as three base-256 digits, and it is white in the lower half
wherever the frame's own slice of audio is loud. Avatars with telling names fail in the way they are called.
"""

import json
import math
import time

import numpy as np
import triton_python_backend_utils as pb_utils

LIMIT_SESSIONS = 4
KNOWN = {
    "sample_rate", "avatar", "fps", "encoding", "size", "alpha", "lookahead_ms",
    "emotion", "emotion_intensity", "seed", "event",
}  # fmt: skip


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Session:
    """One sequence: received audio, the parameters of the first request and the next frame number."""

    def __init__(self, parameters):
        self.rate_hz = int(parameters.get("sample_rate", 16000))
        self.fps = int(parameters.get("fps", 30))
        self.size = int(parameters.get("size", 512))
        self.channels = 4 if parameters.get("alpha") else 3
        self.encoding = parameters.get("encoding", "raw")
        self.lookahead_s = int(parameters.get("lookahead_ms", 200)) / 1000
        self.avatar = parameters.get("avatar", "default")
        self.audio = np.zeros(0, np.int16)
        self.shown = 0
        self.next_index = 0
        self.state = 0
        if not 8000 <= self.rate_hz <= 48000:
            raise Refused("INVALID_ARG", f"sample_rate must be 8000 to 48000 Hz, got {self.rate_hz}")
        if self.avatar == "nobody":
            raise Refused("NOT_FOUND", "no avatar 'nobody' is installed; have default")

    def edge(self, index):
        return index * self.rate_hz // self.fps

    def push(self, chunk):
        self.audio = np.concatenate([self.audio, chunk])

    def interrupt(self):
        self.audio = self.audio[: max(0, self.edge(self.next_index) - self.shown)]
        self.state = 2

    def frames(self, ended):
        """Yields what can be shown now: up to the look-ahead, or everything when the sequence has ended."""
        lookahead = math.ceil(self.lookahead_s * self.rate_hz)
        while True:
            # Audio before `shown` has been given back and is forgotten.
            start, stop = (self.edge(index) - self.shown for index in (self.next_index, self.next_index + 1))
            if start >= len(self.audio) if ended else len(self.audio) < start + lookahead:
                return
            yield self.next_index, self.audio[start:stop]
            self.next_index += 1
            self.audio, self.shown = self.audio[stop:], self.shown + stop


class TritonPythonModel:
    def initialize(self, args):
        self.sessions = {}

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            key = request.correlation_id()
            final = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
            try:
                self.serve(request, key, sender)
                sender.send(flags=final)
            except Refused as refused:
                self.sessions.pop(key, None)
                error = pb_utils.TritonError(str(refused), getattr(pb_utils.TritonError, refused.code))
                sender.send(pb_utils.InferenceResponse(error=error), flags=final)

    def serve(self, request, key, sender):
        parameters = json.loads(request.parameters() or "{}")
        unknown = set(parameters) - KNOWN
        if unknown:
            raise Refused("INVALID_ARG", f"unknown parameter {sorted(unknown)[0]!r}; known: {', '.join(sorted(KNOWN))}")
        flag = {n: bool(pb_utils.get_input_tensor_by_name(request, n).as_numpy().ravel()[0]) for n in ("START", "END")}
        if parameters.get("event") == "close":
            self.sessions.pop(key, None)
            return
        if flag["START"]:
            if len(self.sessions) >= LIMIT_SESSIONS:
                raise Refused("UNAVAILABLE", f"the server runs at most {LIMIT_SESSIONS} sessions; retry later")
            self.sessions[key] = Session(parameters)
        session = self.sessions.get(key)
        if session is None:
            raise Refused("NOT_FOUND", "no such session: it has ended or was idle too long; open a new one")
        if parameters.get("event") == "interrupt":
            session.interrupt()
        chunk = pb_utils.get_input_tensor_by_name(request, "AUDIO").as_numpy().ravel()
        session.push(chunk)
        wanted = set(request.requested_output_names())
        for index, audio in session.frames(flag["END"]):
            if sender.is_cancelled():
                raise Refused("CANCELLED", "the request was cancelled")
            if session.avatar == "breaks" and index == 5:
                raise Refused("INTERNAL", "stage enhancer failed: out of memory")
            if session.avatar == "slow":
                time.sleep(0.02)
            sender.send(self.response(session, index, audio, wanted, parameters))
        if flag["END"]:
            del self.sessions[key]

    def response(self, session, index, audio, wanted, parameters):
        loud = audio.size > 0 and int(np.abs(audio.astype(np.int32)).max()) > 8000
        state = session.state or int(loud)
        session.state = 0
        side = session.size
        picture = np.full((side, side, session.channels), 90, np.uint8)
        picture[side // 2 :] = 255 if loud else 20
        picture[0, 0, :3] = index // 65536, index // 256 % 256, index % 256
        values = {
            "FRAME": picture if session.encoding == "raw" else None,
            "PACKET": np.frombuffer(b"\xff\xd8packet", np.uint8) if session.encoding != "raw" else None,
            "INDEX": np.array([index], np.int64),
            "PTS": np.array([index / session.fps]),
            "AUDIO_OUT": audio,
            "BLENDSHAPES": np.full(52, float(parameters.get("emotion_intensity", 0.0)), np.float32),
            "POSE": np.zeros(6, np.float32),
            "LANDMARKS": np.zeros((68, 2), np.float32),
            "FACE_MESH": np.zeros((478, 3), np.float32),
            "VISEME": np.full(20, 0.05, np.float32),
            "STATE": np.array([state], np.uint8),
        }
        tensors = [pb_utils.Tensor(n, v[None]) for n, v in values.items() if n in wanted and v is not None]
        return pb_utils.InferenceResponse(tensors)

    def finalize(self):
        self.sessions.clear()

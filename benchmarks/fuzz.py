"""Coverage-guided fuzzing of what reads bytes from strangers: `pip install -e '.[fuzz]'`, Python 3.11 or 3.12.

    python -m benchmarks.fuzz gateway -max_total_time=60     # the gateway's view of a request
    python -m benchmarks.fuzz parameters -runs=1000000       # parameters of a session
    python -m benchmarks.fuzz response -runs=1000000         # the client's view of a response

Options after the target are libFuzzer's. An exception other than the parser's own refusal ends it with its input.
"""

import sys
from types import SimpleNamespace

import atheris

with atheris.instrument_imports(include=["avatar", "avatar_client", "avatar_server"]):
    from avatar_client import wire
    from avatar_client.errors import AvatarClientError
    from avatar_server.capacity import LiveSessions
    from avatar_server.gateway import GatewayConfig, Refused, _Stream
    from google.protobuf.message import DecodeError
    from tritonclient.grpc import service_pb2

    from avatar.errors import InvalidParameterError
    from avatar.session_config import InStream, SessionConfig

NAMES = ("sample_rate", "fps", "size", "alpha", "seed", "live", "traceparent", "emotion", "emotion_intensity", "event")
OUTPUTS = (
    "FRAME", "PACKET", "INDEX", "PTS", "AUDIO_OUT", "BLENDSHAPES", "POSE", "LANDMARKS", "FACE_MESH", "VISEME", "STATE",
)  # fmt: skip
TYPES = ("UINT8", "INT64", "FP64", "INT16", "FP32", "BYTES")


def gateway(data: bytes) -> None:
    """Whatever gets through is a request of the gateway's own session."""
    stream = _Stream(GatewayConfig("", ""), None, "7", SimpleNamespace(invocation_metadata=lambda: ()), LiveSessions())
    source = atheris.FuzzedDataProvider(data)
    request = service_pb2.ModelInferRequest(
        model_name="avatar" if source.ConsumeBool() else source.ConsumeUnicodeNoSurrogates(8)
    )
    if source.ConsumeBool():
        request.parameters["sequence_id"].string_param = source.ConsumeUnicodeNoSurrogates(60)
    head = request.SerializeToString() if source.ConsumeBool() else b""
    for _ in range(2):
        try:
            through = service_pb2.ModelInferRequest.FromString(stream._understood(head + source.ConsumeBytes(400)))
        except Refused as error:
            assert str(error)
            continue
        assert through.model_name == "avatar"
        assert through.parameters["sequence_id"].string_param == stream.label
        assert stream.label.startswith("7.") and stream.label.isprintable() and len(stream.label) <= 50


def parameters(data: bytes) -> None:
    source = atheris.FuzzedDataProvider(data)
    values = {}
    for _ in range(source.ConsumeIntInRange(0, 4)):
        name = source.PickValueInList([*NAMES, source.ConsumeUnicodeNoSurrogates(12)])
        values[name] = source.PickValueInList(
            [source.ConsumeBool(), source.ConsumeInt(9), source.ConsumeFloat(), source.ConsumeUnicodeNoSurrogates(70)]
        )
    for read in (SessionConfig.from_parameters, InStream.from_parameters, InStream.of):
        try:
            read(values)
        except InvalidParameterError as error:
            assert len(str(error)) > 20


def response(data: bytes) -> None:
    source = atheris.FuzzedDataProvider(data)
    message = service_pb2.ModelInferResponse(id=source.ConsumeUnicodeNoSurrogates(4))
    message.parameters["triton_final_response"].bool_param = source.ConsumeBool()
    for _ in range(source.ConsumeIntInRange(0, 5)):
        output = message.outputs.add(name=source.PickValueInList([*OUTPUTS, "SMELL"]))
        output.datatype = source.PickValueInList([*TYPES, source.ConsumeUnicodeNoSurrogates(5)])
        output.shape.extend(source.ConsumeIntListInRange(source.ConsumeIntInRange(0, 4), -2, 70))
        if source.ConsumeBool():
            message.raw_output_contents.append(source.ConsumeBytes(source.ConsumeIntInRange(0, 300)))
    try:
        # As it comes from the wire, with what may be behind it.
        message = service_pb2.ModelInferResponse.FromString(message.SerializeToString() + source.ConsumeBytes(20))
    except DecodeError:
        return
    try:
        wire.is_final(message)
        wire.parse_frame(message, 0.0)
    except AvatarClientError as error:
        assert str(error)


TARGETS = {target.__name__: target for target in (gateway, parameters, response)}


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m benchmarks.fuzz {{{','.join(TARGETS)}}} [libFuzzer options]")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()

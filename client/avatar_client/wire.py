"""Requests and responses of the `avatar` model as KServe v2 messages.

The generated stubs of `tritonclient.grpc` are used directly rather than its stream class: that one keeps no status code
per session, leaves a thread behind with every cancelled stream and queues without limit.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike, NDArray
from tritonclient.grpc import service_pb2

from avatar_client.errors import ServerError
from avatar_client.types import Frame, SessionOptions, State

CLOCK_TENSORS = ("INDEX", "PTS")
_DTYPES: dict[str, DTypeLike] = {"UINT8": np.uint8, "INT16": "<i2", "INT64": "<i8", "FP32": "<f4", "FP64": "<f8"}
_TENSOR_OF_OUTPUT = {
    "audio": "AUDIO_OUT", "blendshapes": "BLENDSHAPES", "pose": "POSE",
    "landmarks": "LANDMARKS", "face_mesh": "FACE_MESH", "viseme": "VISEME", "state": "STATE",
}  # fmt: skip


def requested_tensors(options: SessionOptions) -> tuple[str, ...]:
    """Names of the output tensors that the options ask for; index and time always come along."""
    picture = "FRAME" if options.encoding == "raw" else "PACKET"
    named = (picture if name == "image" else _TENSOR_OF_OUTPUT[name] for name in options.outputs)
    return CLOCK_TENSORS + tuple(dict.fromkeys(named))


def build_request(
    *,
    model: str,
    session_id: str,
    number: int,
    pcm: NDArray[np.int16],
    outputs: tuple[str, ...],
    start: bool = False,
    end: bool = False,
    parameters: Mapping[str, str | int | float | bool] | None = None,
) -> service_pb2.ModelInferRequest:
    """One request of a session; `pcm` [samples] int16 travels as AUDIO [1, samples]."""
    request = service_pb2.ModelInferRequest(model_name=model, id=str(number))
    request.parameters["sequence_id"].string_param = session_id
    request.parameters["sequence_start"].bool_param = start
    request.parameters["sequence_end"].bool_param = end
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, value in (parameters or {}).items():
        _set_parameter(request.parameters[name], value)
    request.inputs.add(name="AUDIO", datatype="INT16", shape=[1, len(pcm)])
    request.raw_input_contents.append(pcm.astype("<i2", copy=False).tobytes())
    for name in outputs:
        request.outputs.add(name=name)
    return request


def _set_parameter(parameter: service_pb2.InferParameter, value: str | int | float | bool) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    else:
        parameter.string_param = value


def is_final(response: service_pb2.ModelInferResponse) -> bool:
    """Whether this is the last response of its request."""
    return "triton_final_response" in response.parameters and response.parameters["triton_final_response"].bool_param


def parse_frame(response: service_pb2.ModelInferResponse, received_s: float) -> Frame | None:
    """The frame in a response, or None for the empty final one.

    Raises:
        ServerError: a tensor is not what its type and shape say, or the frame lacks its index.
    """
    if not response.outputs:
        return None
    tensors = {}
    for output, content in zip(response.outputs, response.raw_output_contents, strict=False):
        tensors[output.name] = _tensor(output, content)
    missing = [name for name in CLOCK_TENSORS if name not in tensors or not tensors[name].size]
    if missing:
        raise ServerError(
            f"each frame must carry {' and '.join(CLOCK_TENSORS)}, got no {missing[0]}; is this an avatar server?"
        )
    packet, state = tensors.get("PACKET"), tensors.get("STATE")
    if state is not None and (state.size != 1 or int(state.flat[0]) not in set(State)):
        raise ServerError(f"STATE must be one of {[value.value for value in State]}, got {state.tolist()}")
    return Frame(
        image=tensors.get("FRAME"),
        packet=None if packet is None else packet.tobytes(),
        index=int(tensors["INDEX"].flat[0]),
        pts_s=float(tensors["PTS"].flat[0]),
        audio=tensors.get("AUDIO_OUT"),
        blendshapes=tensors.get("BLENDSHAPES"),
        pose=tensors.get("POSE"),
        landmarks=tensors.get("LANDMARKS"),
        face_mesh=tensors.get("FACE_MESH"),
        viseme=tensors.get("VISEME"),
        state=None if state is None else State(int(state.flat[0])),
        received_s=received_s,
    )


def _tensor(output: service_pb2.ModelInferResponse.InferOutputTensor, content: bytes) -> np.ndarray:
    """The tensor without its batch axis, which is 1."""
    dtype = np.dtype(_DTYPES.get(output.datatype, np.uint8))
    shape = tuple(output.shape)
    values, odd_bytes = divmod(len(content), dtype.itemsize)
    expected = math.prod(shape)
    if odd_bytes or values != expected or shape[:1] != (1,) or min(shape) < 0:
        raise ServerError(
            f"output {output.name} must hold {expected} values for shape {list(shape)} with a batch axis of 1, "
            f"got {len(content)} bytes; the server must run with numpy < 2: its operator may ask `avatar doctor`"
        )
    return np.frombuffer(content, dtype).reshape(shape)[0]

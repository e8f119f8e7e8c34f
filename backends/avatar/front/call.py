"""A Triton request as a plain value."""

import json
import re
from dataclasses import dataclass

import numpy as np
import triton_python_backend_utils as pb_utils

RESERVED = ("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers")


@dataclass(frozen=True, slots=True)
class Call:
    """Attributes:
    key: id of the session.
    is_start, is_end: whether it opens the session, and whether it is its last.
    pcm: [N] int16.
    parameters: what the client said beside the audio.
    outputs: names of the tensors it asks for.
    """

    key: int | str
    is_start: bool
    is_end: bool
    pcm: np.ndarray
    parameters: dict[str, str | int | float | bool]
    outputs: frozenset[str]


def read(request) -> Call:
    """The request's content. Triton has refused whatever is not INT16 [1, N] by now."""
    audio = pb_utils.get_input_tensor_by_name(request, "AUDIO").as_numpy()
    parameters = json.loads(request.parameters() or "{}")
    return Call(
        key=request.correlation_id(),
        is_start=_flag(request, "START"),
        is_end=_flag(request, "END"),
        pcm=audio[0],
        parameters={
            name: value for name, value in parameters.items() if name not in RESERVED and not name.startswith("triton_")
        },
        outputs=frozenset(request.requested_output_names()),
    )


def label(key: int | str) -> str:
    """A session's id as it stands in the log: without what could be taken for more than a name."""
    return re.sub(r"[^\w.:-]", "?", str(key), flags=re.ASCII)[:64]


def _flag(request, name: str) -> bool:
    # Triton's warm-up requests carry no control tensors.
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return tensor is not None and bool(tensor.as_numpy().any())

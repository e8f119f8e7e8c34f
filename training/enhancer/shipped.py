"""Weights of an exported enhancer, for a run to begin with: a new avatar fine-tunes the network that ships."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

PICTURE_SCALE = 255.0
"""The export folds the scaling of pixels into the first and the last layer."""


def weights_of(path: Path) -> dict[str, Tensor]:
    """The state of `avatar.networks.enhancer.Enhancer` in a file that `export.enhancer` wrote, as float32.

    Raises:
        ValueError: the graph is not such an export.
    """
    stored = {item.name: numpy_helper.to_array(item) for item in onnx.load(str(path)).graph.initializer}
    state, stems, heads, biases = {}, [], [], []
    for name, values in stored.items():
        if name.startswith("onnx::"):
            is_head = name.startswith("onnx::ConvTranspose")
            kind = biases if values.ndim == 1 else heads if is_head else stems
            kind.append(values.astype(np.float32))
        elif name.endswith("_bytes"):
            own = name.removesuffix("_bytes")
            scale = stored.get(f"{own}_scale", stored.get(f"{own}_scale_half"))
            state[own] = (values.astype(np.float32) * scale.astype(np.float32)).T[..., None, None]
        elif not name.endswith(("_scale", "_scale_half", "_zero")):
            state[name.removesuffix("_half")] = values.astype(np.float32)
    if not len(stems) == len(heads) == len(biases) == 1:
        raise ValueError(
            f"{path} must have one folded stem, head and bias of the head, got {len(stems)}, {len(heads)} and "
            f"{len(biases)}; export it with `python -m export enhancer`"
        )
    state["stem.weight"] = stems[0] * PICTURE_SCALE
    state["head.weight"] = heads[0] / PICTURE_SCALE
    state["head.bias"] = biases[0] / PICTURE_SCALE
    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in state.items()}


def fitted(state: dict[str, Tensor], target: dict[str, Tensor]) -> dict[str, Tensor]:
    """`target` with everything that it shares with `state`: of a layer of another width, the channels both have."""
    result = {name: values.clone() for name, values in target.items()}
    for name in state.keys() & target.keys():
        shared = tuple(slice(0, min(sizes)) for sizes in zip(state[name].shape, target[name].shape, strict=True))
        result[name][shared] = state[name][shared]
    return result

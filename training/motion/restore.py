"""Weights of an exported ONNX file back into the torch network it was made from.

Training goes on from what ships: the file that `export` wrote is a checkpoint without the optimizer. Nodes keep the
path of the module that made them, initializers that were not transformed keep the name of their parameter.
"""

import re
from pathlib import Path

import numpy as np
import torch
from torch import nn

GATES_OF_ONNX = (1, 0, 2)
"""torch's order of a GRU's gates (reset, update, new) within ONNX's (update, reset, hidden)."""

RESIDUAL_BLOCK = re.compile(r"(wav2vec2\.encoder\.layers\.\d+|coarse)\.")
"""Parameters of blocks that a network may have more of than the file it begins with."""


def _gates(values: np.ndarray) -> np.ndarray:
    """[3·hidden, ...] from ONNX's order to torch's."""
    parts = np.split(values, 3)
    return np.concatenate([parts[index] for index in GATES_OF_ONNX])


def _module_of(node_name: str) -> str:
    """`/motion/project/project.1/MatMul` to `motion.project.1`: members of a sequence carry their sequence's name."""
    parts: list[str] = []
    for part in node_name.strip("/").split("/")[:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)


def parameters_of(path: Path) -> dict[str, np.ndarray]:
    """Parameters by their name in torch, float32; weight norms appear as `<module>.weight`.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    stored = {
        item.name.removesuffix("_half"): numpy_helper.to_array(item).astype(np.float32)
        for item in model.graph.initializer
        if item.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    }
    found = {name: values for name, values in stored.items() if "::" not in name}
    for node in model.graph.node:
        module = _module_of(node.name)
        hidden = [name for name in node.input if name in stored and "::" in name]
        if node.op_type == "MatMul" and hidden:
            found[f"{module}.weight"] = stored[hidden[0]].T
        elif node.op_type == "Conv" and hidden:
            found[f"{module}.weight"] = stored[hidden[0]]
        elif node.op_type == "Mul" and hidden and module.endswith("layer_norm"):
            found[f"{module}.weight"] = stored[hidden[0]].ravel()
        elif node.op_type == "Add" and hidden and module.endswith("layer_norm"):
            found[f"{module}.bias"] = stored[hidden[0]].ravel()
        elif node.op_type == "GRU":
            number = re.search(r"GRU_(\d+)$", node.name)
            layer = int(number.group(1)) if number else 0
            weight, recurrent, bias = (stored[name] for name in node.input[1:4])
            for direction, suffix in enumerate(("", "_reverse")):
                place = f"{module}.{{}}_l{layer}{suffix}"
                found[place.format("weight_ih")] = _gates(weight[direction])
                found[place.format("weight_hh")] = _gates(recurrent[direction])
                halves = np.split(bias[direction], 2)
                found[place.format("bias_ih")] = _gates(halves[0])
                found[place.format("bias_hh")] = _gates(halves[1])
    return found


def begin_as_identity(layer: nn.Module) -> None:
    """Silences both branches of a pre-norm layer of Wav2Vec2, so that the network says what it said without it."""
    for branch in (layer.attention.out_proj, layer.feed_forward.output_dense):
        nn.init.zeros_(branch.weight)
        nn.init.zeros_(branch.bias)


def restore(network: nn.Module, path: Path, prefix: str) -> nn.Module:
    """Fills `network` with the weights of an exported file.

    Args:
        network: of the configuration the file was exported from, or of one with more residual blocks: layers of the
            audio encoder, the motion network's coarse attention. These begin as the identity.
        path: `model.onnx` of a stage.
        prefix: attribute under which the exported wrapper held the network, `encoder` or `motion`.

    Raises:
        ValueError: if a parameter is missing in the file or has another shape.
    """
    found = {name.removeprefix(f"{prefix}."): values for name, values in parameters_of(path).items()}
    held = {match.group(1) for name in found if (match := RESIDUAL_BLOCK.match(name))}
    for name, module in network.named_modules():
        if RESIDUAL_BLOCK.fullmatch(f"{name}.") and name not in held and "layers" in name:
            begin_as_identity(module)
    state = network.state_dict()
    for name, current in state.items():
        block = RESIDUAL_BLOCK.match(name)
        if block and block.group(1) not in held:
            continue
        values = None
        if name.endswith("parametrizations.weight.original1"):
            values = found.get(name.replace("parametrizations.weight.original1", "weight"))
        elif name.endswith("parametrizations.weight.original0"):
            weight = found.get(name.replace("parametrizations.weight.original0", "weight"))
            if weight is not None:
                axes = tuple(axis for axis in range(weight.ndim) if current.shape[axis] == 1)
                values = np.sqrt(np.sum(weight**2, axis=axes, keepdims=True))
        else:
            values = found.get(name)
        if values is None and name.endswith("masked_spec_embed"):
            continue
        if values is None or tuple(values.shape) != tuple(current.shape):
            got = "nothing" if values is None else f"shape {list(values.shape)}"
            raise ValueError(
                f"{path} must hold {name} of shape {list(current.shape)}, got {got}: it was exported from another "
                "configuration"
            )
        state[name] = torch.from_numpy(np.ascontiguousarray(values))
    network.load_state_dict(state)
    return network

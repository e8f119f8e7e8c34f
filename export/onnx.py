"""What all exports share: torch to ONNX, half-precision storage, and the comparison of engines."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
HALF_STORAGE_ELEMENTS = 1024
"""Smaller constants stay FP32: shapes, scales and biases cost nothing."""

BYTE_STORAGE_ELEMENTS = 1024 * 512
"""1x1 convolutions with as many weights are worth storing as bytes: see `store_deep_weights_in_bytes`."""

BATCH = "batch"


def trace(
    network: torch.nn.Module,
    examples: tuple[torch.Tensor, ...],
    input_names: tuple[str, ...],
    output_names: tuple[str, ...],
    second_axes: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """Exports a network with a dynamic leading batch axis; the axes after it are fixed but for `second_axes`.

    Args:
        network: in evaluation mode.
        examples: one batch of each input, of the right shape and type.
        input_names: of the tensors in the stage's contract, in the order the network takes them.
        output_names: of the tensors in the stage's contract, in the order the network returns them.
        second_axes: what the second axis of a tensor counts, by the tensor's name, where that is dynamic.

    Raises:
        onnx.checker.ValidationError: if the graph is not valid.
    """
    import io

    buffer = io.BytesIO()
    second_axes = second_axes or {}
    dynamic = {name: {0: BATCH} for name in (*input_names, *output_names)}
    for name, counted in second_axes.items():
        dynamic[name][1] = counted
    torch.onnx.export(
        network.eval(),
        examples,
        buffer,
        input_names=list(input_names),
        output_names=list(output_names),
        dynamic_axes=dynamic,
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load_from_string(buffer.getvalue())
    with torch.inference_mode():
        outputs = network(*examples)
    for node, output in zip(model.graph.output, outputs if isinstance(outputs, tuple) else (outputs,), strict=True):
        for axis, length in zip(node.type.tensor_type.shape.dim[1:], output.shape[1:], strict=True):
            axis.dim_value = length
        if node.name in second_axes:
            node.type.tensor_type.shape.dim[1].dim_param = second_axes[node.name]
    onnx.checker.check_model(model)
    return model


def store_weights_in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Stores large FP32 weights as FP16 and casts them back in the graph.

    ONNX Runtime and OpenVINO fold the casts when they load the file: the arithmetic stays FP32 at half the size.
    """
    half = onnx.ModelProto()
    half.CopyFrom(model)
    casts = []
    for initializer in half.graph.initializer:
        values = numpy_helper.to_array(initializer)
        if initializer.data_type != TensorProto.FLOAT or values.size < HALF_STORAGE_ELEMENTS:
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *half.graph.node]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    onnx.checker.check_model(half)
    return half


def store_deep_weights_in_bytes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Turns 1x1 convolutions of many weights into matrix products with weights of 8 bits, one scale an output channel.

    In a network whose deepest levels see a few pixels, such a layer takes as long as its weights take to be read from
    memory. OpenVINO keeps the weights of a matrix product in 8 bits and widens them on the way into the registers:
    0.04 ms for 1024 x 1024 at 2 x 2 pixels, instead of 0.21 in FP32. ONNX Runtime widens them when it loads the file.
    """
    bytes_model = onnx.ModelProto()
    bytes_model.CopyFrom(model)
    graph = bytes_model.graph
    weights = {initializer.name: initializer for initializer in graph.initializer}
    nodes = []
    for node in graph.node:
        weight = weights.get(node.input[1]) if node.op_type == "Conv" else None
        if weight is None or list(weight.dims[2:]) != [1, 1] or np.prod(weight.dims) < BYTE_STORAGE_ELEMENTS:
            nodes.append(node)
            continue
        matrix = numpy_helper.to_array(weight)[:, :, 0, 0].T
        scale = np.maximum(np.abs(matrix).max(axis=0) / 127, np.finfo(np.float32).tiny).astype(np.float32)
        name, x, y = weight.name, f"{node.name}_rows", f"{node.name}_product"
        graph.initializer.remove(weight)
        graph.initializer.extend(
            [
                numpy_helper.from_array(np.rint(matrix / scale).astype(np.int8), f"{name}_bytes"),
                numpy_helper.from_array(scale, f"{name}_scale"),
                numpy_helper.from_array(np.zeros(len(scale), np.int8), f"{name}_zero"),
            ]
        )
        bytes_weight = [f"{name}_bytes", f"{name}_scale", f"{name}_zero"]
        nodes += [
            helper.make_node("DequantizeLinear", bytes_weight, [name], name=f"{name}_widen", axis=1),
            helper.make_node("Transpose", [node.input[0]], [x], name=x, perm=[0, 2, 3, 1]),
            helper.make_node("MatMul", [x, name], [y], name=y),
            helper.make_node("Add", [y, node.input[2]], [f"{y}_biased"], name=f"{y}_biased"),
            helper.make_node("Transpose", [f"{y}_biased"], node.output, name=node.name, perm=[0, 3, 1, 2]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(bytes_model)
    return bytes_model


def save(model: onnx.ModelProto, path: Path) -> None:
    """Writes the file atomically and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    onnx.save(model, str(partial))
    partial.replace(path)


def onnxruntime_engine(path: Path, threads: int = 2) -> Callable[..., list[np.ndarray]]:
    """A function from the inputs, in the order of the graph, to the outputs, run by ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return lambda *values: session.run(None, dict(zip(names, values, strict=True)))


def openvino_engine(path: Path, threads: int = 2) -> Callable[..., list[np.ndarray]]:
    """The same by OpenVINO in full precision, compiled for each batch size: fixed shapes run up to twice as fast."""
    import openvino

    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = {}

    def run(*values: np.ndarray) -> list[np.ndarray]:
        shapes = tuple(value.shape for value in values)
        if shapes not in compiled:
            model = core.read_model(str(path))
            model.reshape({node: list(shape) for node, shape in zip(model.inputs, shapes, strict=True)})
            compiled[shapes] = core.compile_model(model, "CPU", options)
        return [np.array(output) for output in compiled[shapes](list(values), share_inputs=True).values()]

    return run


ENGINES = {"onnxruntime": onnxruntime_engine, "openvino": openvino_engine}


def largest_difference(
    path: Path, network: torch.nn.Module, values: tuple[np.ndarray, ...], engine: str = "onnxruntime"
) -> list[float]:
    """Largest absolute difference between the file and the network, one number per output."""
    with torch.inference_mode():
        expected = network.eval()(*(torch.from_numpy(value) for value in values))
    expected = expected if isinstance(expected, tuple) else (expected,)
    got = ENGINES[engine](path)(*values)
    return [float(np.max(np.abs(a.astype(np.float32) - b.float().numpy()))) for a, b in zip(got, expected, strict=True)]

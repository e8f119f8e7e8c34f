"""Weights of matrix products as 8-bit integers, in a network that OpenVINO has read."""

import numpy as np

LARGE = 256
"""Smallest side of a matrix that is worth it."""

GROUP_SIZE = 128
"""Activations of one row that share a scale, as they come. Of 32, 64, 128 and a whole row the fastest over the two
networks of speech on a Zen 4."""


def quantize_weights(model) -> int:
    """Replaces the constant matrices of an `openvino.Model` in place; returns how many.

    Each output channel has its own scale, the largest magnitude of its weights over 127; there is no zero point. The
    CPU plugin multiplies them as integers where it is told `DYNAMIC_QUANTIZATION_GROUP_SIZE`, which rounds activations
    to 8 bits too, and the products are summed as 32-bit integers within a group.
    """
    count = 0
    for operation in model.get_ordered_ops():
        if operation.get_type_name() != "MatMul":
            continue
        weights = _constant(operation.input_value(1).get_node())
        if weights is None or weights.ndim != 2 or min(weights.shape) < LARGE:
            continue
        # The matrix is [inputs, outputs], or the other way round where the product transposes it.
        inputs_axis = 1 if operation.get_attributes()["transpose_b"] else 0
        operation.input(1).replace_source_output(_compressed(weights, inputs_axis).output(0))
        count += 1
    model.validate_nodes_and_infer_types()
    return count


def _constant(node) -> np.ndarray | None:
    """The float32 values of a constant, whether stored as such or as float16."""
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return node.get_data().astype(np.float32) if node.get_type_name() == "Constant" else None


def _compressed(weights: np.ndarray, inputs_axis: int):
    """Integers, a conversion and a scale, which is the form that the plugin knows."""
    from openvino import Type, opset13

    scales = np.maximum(np.abs(weights).max(axis=inputs_axis, keepdims=True) / 127.0, np.float32(1e-12))
    integers = np.rint(weights / scales).astype(np.int8)
    return opset13.multiply(
        opset13.convert(opset13.constant(integers, Type.i8), "f32"), opset13.constant(scales, Type.f32)
    )

"""Networks with the signatures of the real ones: the jaw opens with the loudness of its 20 ms, nothing else moves."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
FEATURES, SAMPLES = 768, 320
JAW_OPEN = 17


def write_all(model_repository: Path) -> None:
    for name, model in {"audio_encoder": audio_encoder(), "motion": motion(), "enhancer": enhancer()}.items():
        folder = model_repository / name / "1"
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(model, folder / "model.onnx")


def audio_encoder() -> onnx.ModelProto:
    """Every feature of a row is the mean of |AUDIO| over its 20 ms."""
    nodes = [
        helper.make_node("Reshape", ["AUDIO", "rows"], ["by_row"]),
        helper.make_node("Abs", ["by_row"], ["loudness"]),
        helper.make_node("ReduceMean", ["loudness"], ["mean"], axes=[2], keepdims=1),
        helper.make_node("Tile", ["mean", "tiles"], ["tiled"]),
        helper.make_node("Cast", ["tiled"], ["FEATURES"], to=TensorProto.FLOAT16),
    ]
    constants = {"rows": np.array([0, -1, SAMPLES]), "tiles": np.array([1, 1, FEATURES])}
    return _model(
        nodes, constants, {"AUDIO": (np.float32, ["samples"])}, {"FEATURES": (np.float16, ["rows", FEATURES])}
    )


def motion() -> onnx.ModelProto:
    jaw = np.zeros((1, 1, 52), np.float32)
    jaw[..., JAW_OPEN] = 1
    nodes = [
        helper.make_node("Cast", ["FEATURES"], ["features"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["features"], ["loudness"], axes=[2], keepdims=1),
        helper.make_node("Mul", ["loudness", "jaw"], ["BLENDSHAPES"]),
        helper.make_node("Mul", ["loudness", "no_pose"], ["POSE"]),
        helper.make_node("Mul", ["loudness", "visemes"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["VISEME"], axis=2),
    ]
    constants = {"jaw": jaw, "no_pose": np.zeros((1, 1, 6), np.float32), "visemes": np.ones((1, 1, 20), np.float32)}
    outputs = {
        "BLENDSHAPES": (np.float32, ["rows", 52]),
        "POSE": (np.float32, ["rows", 6]),
        "VISEME": (np.float32, ["rows", 20]),
    }
    return _model(nodes, constants, {"FEATURES": (np.float16, ["rows", FEATURES])}, outputs)


def enhancer() -> onnx.ModelProto:
    nodes = [helper.make_node("Identity", ["RASTER"], ["IMAGE"])]
    picture = (np.uint8, [512, 512, 4])
    return _model(nodes, {}, {"RASTER": picture, "MASK": (np.uint8, [512, 512])}, {"IMAGE": picture})


def scale(factor: float, batch: int | str = "batch", name: str = "X", size: int = 4) -> onnx.ModelProto:
    """Y = factor · X on [batch, size] float32."""
    graph = helper.make_graph(
        [helper.make_node("Mul", [name, "factor"], ["Y"])],
        "scale",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, size])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [batch, size])],
        [numpy_helper.from_array(np.array(factor, np.float32), "factor")],
    )
    return _checked(graph)


def _model(nodes, constants, inputs, outputs) -> onnx.ModelProto:
    def info(tensors):
        return [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["batch", *shape])
            for name, (dtype, shape) in tensors.items()
        ]

    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    return _checked(helper.make_graph(nodes, "toy", info(inputs), info(outputs), initializers))


def _checked(graph) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model

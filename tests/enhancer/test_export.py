"""The exported file: its signature, and the same picture from every engine."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from avatar.networks.enhancer import Enhancer, EnhancerConfig  # noqa: E402
from export.enhancer import export, load  # noqa: E402
from export.onnx import (  # noqa: E402
    BYTE_STORAGE_ELEMENTS,
    largest_difference,
    save,
    store_deep_weights_in_bytes,
    trace,
)

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """File and network of a small checkpoint whose output differs from its input."""
    folder = tmp_path_factory.mktemp("enhancer")
    torch.manual_seed(0)
    config = {"channels": (16, 24, 32), "blocks": (1, 1, 1)}
    network = Enhancer(EnhancerConfig(**config))
    torch.nn.init.normal_(network.head.weight, std=0.05)
    torch.save({"config": config, "averaged": network.state_dict()}, folder / "enhancer.pt")
    path = folder / "1" / "model.onnx"
    return path, export(str(folder / "enhancer.pt"), path)


def frames(batch: int):
    rng = np.random.default_rng(0)
    return (
        rng.integers(0, 256, (batch, 512, 512, 4)).astype(np.uint8),
        rng.integers(0, 9, (batch, 512, 512)).astype(np.uint8),
    )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("batch", [1, 3])
def test_engines_give_the_network_picture(exported, engine, batch):
    """One step of 255 is left for FP16 weights and for sums in another order."""
    pytest.importorskip(engine)
    path, network = exported
    values = frames(batch)
    with torch.inference_mode():
        changed = network(*(torch.from_numpy(value) for value in values)).numpy() != values[0]
    assert changed.mean() > 0.5
    assert max(largest_difference(path, network, values, engine)) <= 1


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_deep_weights_in_bytes_give_nearly_the_same(tmp_path, engine):
    """Half a step of 1/127 of the largest weight is lost at most, which averages out over the inputs of an output."""
    pytest.importorskip(engine)
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(512, 1024, 1), torch.nn.ReLU(), torch.nn.Conv2d(1024, 512, 1), torch.nn.Conv2d(512, 8, 1)
    )
    x = torch.randn(2, 512, 4, 4)
    model = store_deep_weights_in_bytes(trace(network, (x,), ("X",), ("Y",)))
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    sizes = {len(tensor.raw_data) for tensor in stored.values() if tensor.data_type == onnx.TensorProto.INT8}
    assert max(sizes) == 1024 * 512 == BYTE_STORAGE_ELEMENTS
    assert sum(node.op_type == "MatMul" for node in model.graph.node) == 2
    save(model, tmp_path / "model.onnx")
    with torch.inference_mode():
        spread = float(network(x).std())
    assert largest_difference(tmp_path / "model.onnx", network, (x.numpy(),), engine)[0] < 0.05 * spread


def test_signature_is_the_stage_contract(exported):
    graph = onnx.load(str(exported[0])).graph

    def signature(nodes):
        return {
            node.name: (
                node.type.tensor_type.elem_type,
                [axis.dim_param or axis.dim_value for axis in node.type.tensor_type.shape.dim],
            )
            for node in nodes
        }

    picture = (onnx.TensorProto.UINT8, ["batch", 512, 512, 4])
    assert signature(graph.input) == {"RASTER": picture, "MASK": (onnx.TensorProto.UINT8, ["batch", 512, 512])}
    assert signature(graph.output) == {"IMAGE": picture}


def test_without_a_checkpoint_the_output_is_the_input():
    raster, mask = (torch.from_numpy(value) for value in frames(1))
    with torch.inference_mode():
        assert torch.equal(load(None)(raster, mask), raster)


def test_shipped_file_has_the_contract_and_a_fit_size():
    path = Path("model_repository/enhancer/1/model.onnx")
    assert path.stat().st_size < 40e6
    graph = onnx.load(str(path)).graph
    assert [node.name for node in graph.input] == ["RASTER", "MASK"]
    assert [node.name for node in graph.output] == ["IMAGE"]

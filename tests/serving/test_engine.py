"""Networks on OpenVINO and ONNX Runtime: equal results, and a network that is not as configured is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from avatar import engine
from avatar.engine import ENGINES, EngineConfig, ModelMismatchError, TensorSpec, check_signature, load
from avatar.quantization import quantize_weights
from benchmarks.live import speech_of
from tests.serving.toy import networks

F32 = np.dtype(np.float32)
X = TensorSpec("X", F32, (None, 4))
Y = TensorSpec("Y", F32, (None, 4))


def loaded(tmp_path, model, engine="openvino", **options):
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return load(path, EngineConfig(engine, threads=1, **options))


@pytest.fixture(params=ENGINES)
def engine_name(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize("batch", [1, 3])
def test_runs(tmp_path, engine_name, batch):
    engine = loaded(tmp_path, networks.scale(3), engine_name)
    x = np.random.default_rng(0).random((batch, 4), np.float32)
    np.testing.assert_allclose(engine.run({"X": x})["Y"], 3 * x, rtol=1e-6)
    assert (engine.inputs, engine.outputs) == ((X,), (Y,))
    assert engine.name.startswith(engine_name)


def test_other_axes_may_be_dynamic_too(tmp_path, engine_name):
    engine = loaded(tmp_path, networks.audio_encoder(), engine_name)
    assert engine.inputs[0].shape == (None, None)
    for rows in (3, 5, 3, 4, 2, 6, 5):
        audio = np.random.default_rng(rows).uniform(-1, 1, (2, rows * 320)).astype(np.float32)
        features = engine.run({"AUDIO": audio})["FEATURES"]
        expected = np.abs(audio).reshape(2, rows, 320).mean(2, keepdims=True)
        np.testing.assert_allclose(features, np.broadcast_to(expected, features.shape), atol=1e-3)


def test_no_thread_is_bound_to_a_core(tmp_path):
    """Models are processes of their own: bound threads of several would meet on one core."""
    pytest.importorskip("openvino")
    engine = loaded(tmp_path, networks.scale(3))
    assert not engine._request(((4,),)).get_compiled_model().get_property("ENABLE_CPU_PINNING")


def test_results_are_the_callers_own(tmp_path, engine_name):
    engine = loaded(tmp_path, networks.scale(2), engine_name)
    first = engine.run({"X": np.ones((1, 4), np.float32)})["Y"]
    engine.run({"X": np.zeros((1, 4), np.float32)})
    np.testing.assert_array_equal(first, 2)


def test_half_precision_tensors(tmp_path, engine_name):
    audio = np.random.default_rng(0).uniform(-1, 1, (2, 24000)).astype(np.float32)
    features = loaded(tmp_path, networks.audio_encoder(), engine_name).run({"AUDIO": audio})["FEATURES"]
    expected = np.abs(audio).reshape(2, 75, 320).mean(2, keepdims=True)
    assert (features.dtype, features.shape) == (np.float16, (2, 75, 768))
    np.testing.assert_allclose(features, np.broadcast_to(expected, features.shape), atol=1e-3)


def test_unused_input_stays(tmp_path, engine_name):
    engine = loaded(tmp_path, networks.enhancer(), engine_name)
    assert [spec.name for spec in engine.inputs] == ["RASTER", "MASK"]
    raster = np.random.default_rng(0).integers(0, 256, (1, 512, 512, 4), np.uint8)
    result = engine.run({"RASTER": raster, "MASK": np.zeros((1, 512, 512), np.uint8)})
    np.testing.assert_array_equal(result["IMAGE"], raster)


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ([TensorSpec("Z", F32, (None, 4))], [Y], "input Z is configured, the network has X"),
        (
            [TensorSpec("X", np.dtype(np.int16), (None, 4))],
            [Y],
            r"input X int16 \[-1, 4\] is configured, the network has X float32",
        ),
        ([TensorSpec("X", F32, (None, 5))], [Y], r"input X float32 \[-1, 5\] is configured"),
        ([TensorSpec("X", F32, (None, 4, 1))], [Y], r"input X float32 \[-1, 4, 1\] is configured"),
        ([X], [TensorSpec("IMAGE", F32, (None, 4))], "output IMAGE is configured, the network has Y"),
        ([], [Y], "input X of the network is not configured"),
    ],
)
def test_mismatch(tmp_path, engine_name, inputs, outputs, words):
    with pytest.raises(ModelMismatchError, match=words):
        check_signature(loaded(tmp_path, networks.scale(1), engine_name), inputs, outputs, max_batch=4)


def test_fixed_batch(tmp_path, engine_name):
    engine = loaded(tmp_path, networks.scale(1, batch=1), engine_name)
    check_signature(engine, [X], [Y], max_batch=1)
    with pytest.raises(ModelMismatchError, match="batch axis 1, configured is max_batch_size 4"):
        check_signature(engine, [X], [Y], max_batch=4)


def test_matching_signature(tmp_path, engine_name):
    check_signature(loaded(tmp_path, networks.scale(1), engine_name), [X], [Y], max_batch=4)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be an ONNX file, got .*model.onnx"):
        load(tmp_path / "model.onnx")


@pytest.mark.parametrize(("field", "value"), [("engine", "tensorflow"), ("precision", "int3"), ("threads", -1)])
def test_bad_config(field, value):
    with pytest.raises(ValueError, match=field):
        EngineConfig(**{field: value})


SHIPPED = Path(__file__).resolve().parents[2] / "model_repository"


def test_int8_multiplies_integers_and_hardly_changes_the_face():
    pytest.importorskip("openvino")
    audio = speech_of(SHIPPED.parent / "examples" / "hello.wav", 16_000)
    window = audio[None, 16_000:40_000].astype(np.float32) / 32768
    faces = {}
    for precision in ("f32", "int8"):
        stages = [
            load(SHIPPED / stage / "1" / "model.onnx", EngineConfig("openvino", 1, precision))
            for stage in ("audio_encoder", "motion")
        ]
        assert [stage.name for stage in stages] == [f"openvino {precision}"] * 2
        features = stages[0].run({"AUDIO": window})["FEATURES"]
        faces[precision] = stages[1].run({"FEATURES": features})["BLENDSHAPES"]
    assert faces["f32"].max() > 0.2, "somebody speaks"
    np.testing.assert_allclose(faces["int8"], faces["f32"], atol=0.03)
    assert np.abs(faces["int8"] - faces["f32"]).max() > 0


@pytest.mark.parametrize("transposed", [False, True])
def test_large_matrices_become_integers_with_a_scale_for_each_output(transposed):
    openvino = pytest.importorskip("openvino")
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((512, 256)) * rng.uniform(0.01, 3, 256)).astype(np.float32)
    x = openvino.opset13.parameter([1, 512], np.float32)
    constant = openvino.opset13.constant(weights.T.copy() if transposed else weights)
    product = openvino.opset13.matmul(x, constant, False, transposed)
    small = openvino.opset13.matmul(product, openvino.opset13.constant(np.ones((256, 8), np.float32)), False, False)
    model = openvino.Model([product, small], [x])
    assert quantize_weights(model) == 1
    stored = [op.get_data() for op in model.get_ops() if op.get_type_name() == "Constant"]
    assert {array.dtype.name: array.shape for array in stored if array.shape in ((512, 256), (256, 512))} == {
        "int8": (256, 512) if transposed else (512, 256)
    }
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows = rng.standard_normal((1, 512)).astype(np.float32)
    # Half a step of each weight at most, and steps are a 127th of the largest of its output.
    bound = np.abs(rows).sum() * np.abs(weights).max(axis=0) / 254
    assert (np.abs(compiled([rows])[0][0] - (rows @ weights)[0]) <= bound + 1e-3).all()


def test_a_network_without_large_matrices_stays_as_it_is(tmp_path):
    pytest.importorskip("openvino")
    assert loaded(tmp_path, networks.scale(3), precision="int8").name == "openvino bf16"


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("avx512_bf16 avx512_vnni", "int8"), ("avx512_bf16 avx512_vnni amx_tile amx_bf16", "bf16"), ("avx2", "f32")],
)
def test_the_fastest_precision_of_the_cpu(monkeypatch, flags, precision):
    class Core:
        def get_property(self, device, name):
            return ["FP32", "INT8"] + ["BF16"] * ("bf16" in flags)

    monkeypatch.setattr(engine, "_cpu_flags", lambda: frozenset(flags.split()))
    assert engine._own_precision(Core()) == precision

"""The ONNX files say what the networks say, in both engines, from any checkpoint."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("transformers")

from transformers import Wav2Vec2Config, Wav2Vec2Model  # noqa: E402

from avatar.config import WindowConfig  # noqa: E402
from avatar.networks.audio_encoder import AudioEncoder, small_config  # noqa: E402
from avatar.networks.motion import MotionConfig, MotionNetwork  # noqa: E402
from avatar.session_config import LOOKAHEADS_MS  # noqa: E402
from export.__main__ import example_inputs, main  # noqa: E402
from export.onnx import ENGINES, largest_difference  # noqa: E402

STAGES = ("audio_encoder", "motion")

SIGNATURE = {
    "audio_encoder": {"AUDIO": (1, ["batch", "samples"]), "FEATURES": (10, ["batch", "rows", 768])},
    "motion": {
        "FEATURES": (10, ["batch", "rows", 768]),
        "BLENDSHAPES": (1, ["batch", "rows", 52]),
        "POSE": (1, ["batch", "rows", 6]),
        "VISEME": (1, ["batch", "rows", 20]),
    },
}
"""Element type of ONNX and shape, by tensor."""

TOLERANCE = {"audio_encoder": 1e-2, "motion": 2e-3}
"""Features travel in half precision and are of the order of 1; weights are stored in half precision."""


def checkpoint(path):
    """What training leaves, untrained."""
    torch.manual_seed(1)
    encoder, motion = AudioEncoder(small_config()), MotionNetwork(MotionConfig())
    torch.save(
        {
            "audio_encoder": encoder.state_dict(),
            "audio_encoder_config": json.loads(encoder.wav2vec2.config.to_json_string()),
            "motion": motion.state_dict(),
            "motion_config": motion.config.to_dict(),
        },
        path,
    )
    return path


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    path = checkpoint(folder / "motion.pt")
    for stage in STAGES:
        main([stage, "--checkpoint", str(path), "--out", str(folder)])
    return folder


@pytest.mark.parametrize("stage", STAGES)
def test_signature(repository, stage):
    graph = onnx.load(repository / stage / "1" / "model.onnx").graph
    got = {
        value.name: (
            value.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.input, *graph.output)
    }
    assert got == SIGNATURE[stage]


@pytest.mark.parametrize("lookahead_ms", LOOKAHEADS_MS)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("stage", STAGES)
def test_engines_agree_with_torch(repository, stage, engine, lookahead_ms):
    pytest.importorskip(engine)
    from importlib import import_module

    exporter = import_module(f"export.{stage}")
    network = exporter.load(str(repository / "motion.pt"))
    wrapped = exporter.HalfFeatures(network) if stage == "audio_encoder" else exporter.FromHalfFeatures(network)
    for batch in (1, 3):
        inputs = example_inputs(stage, batch, WindowConfig.for_lookahead(lookahead_ms))
        differences = largest_difference(repository / stage / "1" / "model.onnx", wrapped, inputs, engine)
        assert max(differences) < TOLERANCE[stage]


@pytest.mark.parametrize("stage", STAGES)
def test_weights_are_stored_in_half(repository, stage):
    path = repository / stage / "1" / "model.onnx"
    model = onnx.load(path)
    single = sum(np.prod(i.dims) for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT)
    half = sum(np.prod(i.dims) for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT16)
    assert half > 4e6
    assert single < 0.02 * half
    assert path.stat().st_size < 40e6


def test_a_hugging_face_folder_exports_with_the_same_command(tmp_path, monkeypatch):
    config = Wav2Vec2Config(
        hidden_size=768, num_hidden_layers=1, num_attention_heads=12, intermediate_size=64, conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=16,
    )  # fmt: skip
    torch.manual_seed(2)
    Wav2Vec2Model(config).save_pretrained(tmp_path / "checkpoint")
    monkeypatch.setenv("AUDIO_ENCODER", str(tmp_path / "checkpoint"))
    main(["audio_encoder", "--out", str(tmp_path / "out")])

    reference = AudioEncoder.from_pretrained(str(tmp_path / "checkpoint"))
    (audio,) = example_inputs("audio_encoder", 2)
    got = ENGINES["onnxruntime"](tmp_path / "out" / "audio_encoder" / "1" / "model.onnx")(audio)[0]
    with torch.inference_mode():
        expected = reference(torch.from_numpy(audio)).numpy()
    assert got.shape == (2, 75, 768)
    assert np.abs(got - expected).max() < 2e-2


def test_without_a_checkpoint_weights_are_random_and_said_to_be(tmp_path, capsys):
    main(["motion", "--out", str(tmp_path)])
    assert "random weights" in capsys.readouterr().out

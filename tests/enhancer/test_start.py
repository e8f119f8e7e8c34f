"""A run that begins with an exported network."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from avatar import engine  # noqa: E402
from avatar.enhancer import enhance  # noqa: E402
from avatar.networks.enhancer import Enhancer, EnhancerConfig  # noqa: E402
from export.enhancer import export  # noqa: E402
from training.enhancer.config import TrainingConfig  # noqa: E402
from training.enhancer.rehearsal import rehearsed_pairs, teacher_of  # noqa: E402
from training.enhancer.shipped import fitted, weights_of  # noqa: E402
from training.enhancer.trainer import Trainer  # noqa: E402

pytestmark = pytest.mark.training

DEEP = EnhancerConfig(channels=(16, 24, 1024), blocks=(1, 1, 1))


def changed(config):
    """A network whose output differs from its input."""
    torch.manual_seed(0)
    network = Enhancer(config).eval()
    torch.nn.init.normal_(network.head.weight, std=0.05)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.05)
    return network


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    network = changed(DEEP)
    checkpoint = folder / "enhancer.pt"
    torch.save(
        {"config": {"channels": DEEP.channels, "blocks": DEEP.blocks}, "averaged": network.state_dict()}, checkpoint
    )
    export(str(checkpoint), folder / "model.onnx")
    return network, folder / "model.onnx"


def test_the_weights_of_an_export_come_back(exported):
    """Half-precision storage and 8-bit deep weights bound the difference."""
    network, path = exported
    state = weights_of(path)
    expected = network.state_dict()
    assert state.keys() == expected.keys()
    for name, values in expected.items():
        tolerance = values.abs().max() / (127 if values.numel() >= 1024 * 512 else 1000) + 1e-7
        assert (state[name] - values).abs().max() <= tolerance, name


def test_training_starts_from_an_export(exported):
    _, path = exported
    trainer = Trainer(TrainingConfig(steps=1), DEEP)
    trainer.start_from(path)
    torch.testing.assert_close(trainer.network.state_dict()["stem.weight"], weights_of(path)["stem.weight"])


def test_other_widths_share_their_first_channels():
    wide, narrow = changed(DEEP), Enhancer(EnhancerConfig(channels=(16, 20, 32), blocks=(1, 1, 1)))
    state = fitted(wide.state_dict(), narrow.state_dict())
    torch.testing.assert_close(state["stem.weight"], wide.state_dict()["stem.weight"])
    torch.testing.assert_close(
        state["down.1.0.pointwise.weight"], wide.state_dict()["down.1.0.pointwise.weight"][:20, :16]
    )


def test_a_file_of_another_network_is_refused(tmp_path):
    import onnx

    path = tmp_path / "model.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], [])), str(path))
    with pytest.raises(ValueError, match="python -m export enhancer"):
        weights_of(path)


def test_what_is_rehearsed_is_what_the_teacher_draws():
    path = Path("model_repository/enhancer/1/model.onnx")
    pairs = rehearsed_pairs(teacher_of(path), Path("avatars/default"), count=2)
    assert pairs.names == ("default/rehearsed/00000", "default/rehearsed/00001")
    served = enhance(engine.load(path, engine.EngineConfig(precision="f32")).run, pairs.raster[1], pairs.mask[1])
    assert np.abs(pairs.truth[1].astype(int) - served).max() <= 1
    assert np.abs(pairs.truth[1].astype(int) - pairs.raster[1]).max() > 20

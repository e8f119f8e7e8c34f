"""Weights of torchvision's form load, and activations are those of the layers they name."""

import pytest

torch = pytest.importorskip("torch")

from training.features.network import Features, layout_of  # noqa: E402
from training.features.stored import load_features, provenance_of, save_features  # noqa: E402

pytestmark = pytest.mark.training

VGG16_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Their numbers in torchvision's `vgg16().features`."""

SMALL = ((4, 4), (6,), (8, 8, 8))


def test_the_blocks_of_vgg_16_come_from_the_numbers_of_its_layers():
    widths = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    state, before = {"classifier.0.weight": torch.zeros(1, 1)}, 3
    for index, width in zip(VGG16_CONVOLUTIONS, widths, strict=True):
        state[f"features.{index}.weight"] = torch.empty(width, before, 3, 3, device="meta")
        before = width
    layout = layout_of(state)
    assert layout == ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
    own = [name for name in Features(layout).state_dict() if name.endswith("weight")]
    assert own == [f"features.{index}.weight" for index in VGG16_CONVOLUTIONS]


def test_activations_are_those_before_each_pooling():
    torch.manual_seed(0)
    network = Features(SMALL)
    picture = torch.rand(2, 3, 16, 16)
    found = network(picture)
    assert [tuple(x.shape) for x in found] == [(2, 4, 16, 16), (2, 6, 8, 8), (2, 8, 4, 4)]
    x = (picture - network.mean) / network.deviation
    torch.testing.assert_close(found[0], network.features[:4](x))
    torch.testing.assert_close(found[1], network.features[:7](x))


def test_stored_features_come_back_frozen_with_their_provenance(tmp_path):
    network = Features(SMALL)
    save_features(tmp_path / "features.pt", network, {"made by": "a test", "steps": 3})
    loaded = load_features(tmp_path / "features.pt")
    assert loaded.layout == SMALL
    assert provenance_of(tmp_path / "features.pt") == {"made by": "a test", "steps": 3}
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    torch.testing.assert_close(loaded.features[0].weight, network.features[0].weight.detach(), rtol=1e-3, atol=1e-6)


def test_fewer_blocks_are_the_first_ones(tmp_path):
    torch.manual_seed(0)
    network = Features(SMALL)
    torch.save(network.state_dict(), tmp_path / "vgg.pth")
    picture = torch.rand(1, 3, 16, 16)
    found = load_features(tmp_path / "vgg.pth", blocks=2)(picture)
    assert len(found) == 2
    torch.testing.assert_close(found[1], network(picture)[1].detach())
    with pytest.raises(ValueError, match="blocks must be 1 to 3"):
        load_features(tmp_path / "vgg.pth", blocks=4)


def test_other_weights_are_refused_by_what_they_must_be(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m training.features"):
        load_features(tmp_path / "none.pt")
    with pytest.raises(ValueError, match="without batch normalization"):
        layout_of({"conv1.weight": torch.zeros(4, 3, 7, 7)})
    normalized = {f"features.{index}.weight": torch.zeros(4, 4, 3, 3) for index in (0, 3, 7)}
    with pytest.raises(ValueError, match="without batch normalization"):
        layout_of(normalized)

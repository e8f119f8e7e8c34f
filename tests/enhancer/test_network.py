"""The network: its contract, its identity at the start, what it sees."""

import pytest

torch = pytest.importorskip("torch")

from avatar.networks.enhancer import (  # noqa: E402
    MASK_SAMPLES,
    PART_COUNT,
    Enhancer,
    EnhancerConfig,
    Thermometer,
    unfold,
)

pytestmark = pytest.mark.training

SMALL = EnhancerConfig(channels=(8, 16, 24), blocks=(1, 1, 2))


def frames(batch: int, size_px: int = 64, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    raster = torch.randint(0, 256, (batch, size_px, size_px, 4), dtype=torch.uint8, generator=generator)
    mask = torch.randint(0, PART_COUNT, (batch, size_px, size_px), dtype=torch.uint8, generator=generator)
    return raster, mask


def wakened(config: EnhancerConfig = SMALL) -> Enhancer:
    """A network whose head is not zero."""
    torch.manual_seed(1)
    network = Enhancer(config).eval()
    torch.nn.init.normal_(network.head.weight, std=0.05)
    return network


@torch.inference_mode()
def test_untrained_network_returns_its_input():
    raster, mask = frames(2)
    assert torch.equal(Enhancer(SMALL)(raster, mask), raster)


@torch.inference_mode()
def test_unfold_orders_pixels_as_the_frame_does():
    raster, mask = frames(2)
    picture = unfold(Enhancer(SMALL).enhance(raster, mask))
    torch.testing.assert_close(picture, raster.permute(0, 3, 1, 2) / 255.0)


@torch.inference_mode()
def test_unfold_agrees_with_the_served_output():
    """In float64, because the two sum in another order."""
    raster, mask = frames(1)
    network = wakened().double()
    expected = (unfold(network.enhance(raster, mask)) * 255).round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)
    served = network(raster, mask)
    assert not torch.equal(served, raster)
    assert torch.equal(served, expected)


@torch.inference_mode()
def test_frames_of_a_batch_do_not_see_each_other():
    raster, mask = frames(3)
    network = wakened()
    together = network(raster, mask)
    for i in range(3):
        alone = network(raster[i : i + 1], mask[i : i + 1])
        assert (together[i].int() - alone[0].int()).abs().max() <= 1


@torch.inference_mode()
def test_thermometer_codes_span_one_hot_codes():
    raster, mask = frames(1, size_px=32)
    code = Thermometer()(mask.reshape(1, 32, 8, 4).float().permute(0, 3, 1, 2))
    levels = PART_COUNT - 1
    assert code.shape == (1, len(MASK_SAMPLES) * levels, 8, 8)
    for i, (row, column) in enumerate(MASK_SAMPLES):
        sampled = mask[0, row::4, column::4]
        steps = torch.nn.functional.pad(code[0, i * levels : (i + 1) * levels], (0, 0, 0, 0, 0, 1))
        one_hot = steps[:-1] - steps[1:]
        for part in range(1, PART_COUNT):
            assert torch.equal(one_hot[part - 1], (sampled == part).float())


def test_every_output_pixel_depends_on_the_whole_frame():
    network = wakened(EnhancerConfig(channels=(8, 8, 8, 8, 8), blocks=(1, 1, 1, 1, 2)))
    raster, mask = frames(1)
    x = torch.rand(1, 8, 16, 16, requires_grad=True)
    network._unet(x)[0, :, 0, 0].sum().backward()
    assert (x.grad.abs().sum(dim=1)[0] > 0).all()


def mouth_drawn(mask, seed: int = 0):
    """What the branch of the mouth changes in a frame of 128 px: pictures without and with it."""
    network = Enhancer(SMALL).double().eval()
    raster, _ = frames(1, size_px=128, seed=seed)
    torch.manual_seed(2)
    torch.nn.init.normal_(network.mouth.leave.weight, std=0.05)
    torch.nn.init.constant_(network.mouth.leave.bias, 0.1)
    return raster, network(raster, mask), (unfold(network.enhance(raster, mask)) * 255).permute(0, 2, 3, 1)


@torch.inference_mode()
def test_the_branch_of_the_mouth_draws_in_the_mouth_alone():
    mask = torch.ones(1, 128, 128, dtype=torch.uint8)
    mask[:, 74:80, 56:72] = 3
    raster, served, trained = mouth_drawn(mask)
    changed = (served != raster).any(-1)[0]
    assert changed[74:80, 56:72].float().mean() > 0.95
    rows, columns = (torch.nonzero(changed.any(axis)).ravel() for axis in (1, 0))
    assert rows[0] >= 70 and rows[-1] < 84 and columns[0] >= 48 and columns[-1] < 80, "a soft rim over the lips"
    assert torch.equal(served, trained.round().clamp(0, 255).to(torch.uint8))


@torch.inference_mode()
@pytest.mark.parametrize("part", [1, 2, 6, 7, 8])
def test_a_closed_mouth_stays_as_the_u_net_has_it(part):
    raster, served, _ = mouth_drawn(torch.full((1, 128, 128), part, dtype=torch.uint8))
    assert torch.equal(served, raster)


@torch.inference_mode()
def test_part_ids_change_the_picture():
    raster, mask = frames(1)
    network = wakened()
    assert not torch.equal(network(raster, mask), network(raster, torch.zeros_like(mask)))


def test_default_network_has_twelve_to_twenty_million_parameters():
    count = sum(parameter.numel() for parameter in Enhancer().parameters())
    assert 12e6 < count < 20e6
    assert 512 % EnhancerConfig().multiple_px == 0


def test_config_refuses_unequal_lists():
    with pytest.raises(ValueError, match="one entry a level"):
        EnhancerConfig(channels=(8, 16), blocks=(1,))

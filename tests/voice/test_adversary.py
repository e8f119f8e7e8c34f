"""The discriminator tells averaged motion from real, and what learns by it moves as much as what it imitates."""

from copy import deepcopy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from training.motion.adversary import Adversary, AdversaryConfig  # noqa: E402
from training.motion.spectrum import velocity_power  # noqa: E402
from training.motion.windows import Batch  # noqa: E402

MOVING = 4
"""Coefficients that move in these tests; the others rest at 0 as the teacher's do."""


def lively(seed: int, size: int = 16) -> Batch:
    """Motion at 5 Hz whose phase nothing tells, on slow motion that the sound could tell."""
    random = torch.Generator().manual_seed(seed)
    times_s = torch.arange(75)[:, None] / 50.0

    def waves(frequency_hz: float) -> torch.Tensor:
        phase = 2 * torch.pi * torch.rand((size, 1, MOVING), generator=random)
        return torch.sin(2 * torch.pi * frequency_hz * times_s + phase)

    slow, fast = waves(0.8), waves(5.0)
    coefficients = torch.zeros(size, 75, 52)
    coefficients[..., :MOVING] = 0.35 + 0.15 * slow + 0.1 * fast
    audio = 0.1 * torch.randn((size, 24_000), generator=random)
    return Batch(audio, coefficients, torch.zeros(size, 75, 6), *(torch.zeros(size, 75, dtype=torch.int64),) * 3)


def smooth(coefficients: torch.Tensor) -> torch.Tensor:
    """Mean over 200 ms: what regression makes of a motion of 5 Hz."""
    padded = torch.nn.functional.pad(coefficients.transpose(1, 2), (5, 4), mode="replicate")
    return torch.nn.functional.avg_pool1d(padded, 10, 1).transpose(1, 2)


class Mover(torch.nn.Module):
    """From slow motion and noise to motion."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv1d(2 * MOVING, 32, 15, padding=7), torch.nn.GELU(), torch.nn.Conv1d(32, MOVING, 15, padding=7)
        )

    def forward(self, slow: torch.Tensor) -> torch.Tensor:
        seen = torch.cat([4 * (slow[..., :MOVING] - 0.35), torch.randn_like(slow[..., :MOVING])], dim=-1)
        moved = 0.35 + 0.2 * self.layers(seen.transpose(1, 2)).transpose(1, 2)
        return torch.nn.functional.pad(moved, (0, 52 - MOVING))


def fast_velocity(coefficients: torch.Tensor, batch: Batch) -> float:
    """Root mean square against the real motion's, between 4 and 12 Hz."""
    ours, theirs = (velocity_power(rows.detach().numpy())["fast"] for rows in (coefficients, batch.blendshapes))
    return float(np.sqrt(ours / theirs))


def learned(adversary: Adversary | None, steps: int) -> Mover:
    """By regression, and by the adversary where there is one."""
    torch.manual_seed(1)
    mover = Mover()
    optimizer = torch.optim.Adam(mover.parameters(), 2e-3, betas=(0.5, 0.99))
    for step in range(steps):
        batch = lively(step)
        moved = mover(smooth(batch.blendshapes))
        loss = 5.0 * (moved - batch.blendshapes)[..., :MOVING].abs().mean()
        if adversary is not None:
            loss = loss + adversary(moved, batch.pose, batch)[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return mover


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_the_spectrum_of_a_wave_lies_in_its_band():
    times_s = np.arange(300)[:, None] / 50.0
    slow, fast = (velocity_power(0.1 * np.sin(2 * np.pi * hz * times_s)) for hz in (2.0, 7.0))
    assert slow["slow"] > 50 * slow["fast"] and fast["fast"] > 50 * fast["slow"]
    # The mean square of the derivative; a difference over 20 ms sees a little less of it.
    assert slow["slow"] == pytest.approx(0.5 * (0.1 * 2 * np.pi * 2.0) ** 2, rel=0.1)
    shaking = velocity_power(0.1 * np.sin(2 * np.pi * 20.0 * times_s))
    assert shaking["tremor"] > 50 * shaking["fast"]
    halved = velocity_power(0.05 * np.sin(2 * np.pi * 7.0 * times_s))
    assert halved["fast"] == pytest.approx(fast["fast"] / 4, rel=1e-6)
    with pytest.raises(ValueError, match="more than 50 rows"):
        velocity_power(np.zeros((50, 3)))


@pytest.mark.parametrize(("hears", "steps"), [(False, 40), (True, 80)])
def test_it_tells_smoothed_motion_from_real(hears, steps):
    torch.manual_seed(0)
    adversary = Adversary(AdversaryConfig(width=32, hears=hears, learning_rate=2e-3))
    for step in range(steps):
        batch = lively(step)
        adversary.learn((batch.blendshapes, batch.pose), (smooth(batch.blendshapes), batch.pose), batch)
    unseen = lively(1000)
    right = adversary.learn((unseen.blendshapes, unseen.pose), (smooth(unseen.blendshapes), unseen.pose), unseen)
    assert right["told_apart"] > 0.95
    assert adversary.judge(unseen.blendshapes, unseen.pose, unseen) == 0, "only the discriminator learns at first"
    adversary.steps = 1000
    real, averaged = (
        float(adversary.judge(moved, unseen.pose, unseen)) for moved in (unseen.blendshapes, smooth(unseen.blendshapes))
    )
    assert real < 0.5 * averaged


def test_rest_that_is_exactly_zero_gives_nothing_away():
    """Predictions that rest within the noise around 0 pass, so the verdict is about motion."""
    torch.manual_seed(0)
    adversary = Adversary(AdversaryConfig(width=32, learning_rate=2e-3))
    for step in range(40):
        batch = lively(step)
        resting = (batch.blendshapes + 0.002 * torch.randn_like(batch.blendshapes)).clamp(0.0, 1.0)
        right = adversary.learn((batch.blendshapes, batch.pose), (resting, batch.pose), batch)
    assert right["told_apart"] < 0.75


@pytest.mark.slow
def test_a_network_regains_the_amplitude_that_regression_averages_away():
    unseen = lively(2000)
    slow = smooth(unseen.blendshapes)
    averaged = fast_velocity(learned(None, 220)(slow), unseen)
    adversary = Adversary(AdversaryConfig(width=32, learning_rate=2e-3, lead_steps=20))
    regained = fast_velocity(learned(adversary, 220)(slow), unseen)
    assert averaged < 0.3
    assert 0.7 < regained < 1.4


def test_judging_moves_the_motion_and_not_the_judge():
    adversary = Adversary(AdversaryConfig(width=32, lead_steps=0))
    batch = lively(0)
    motion = smooth(batch.blendshapes).requires_grad_()
    adversary(motion, batch.pose, batch)[0].backward()
    before = [parameter.grad.clone() for parameter in adversary.discriminator.parameters()]
    assert motion.grad[..., :MOVING].abs().sum() > 0
    adversary.judge(motion, batch.pose, batch).backward()
    assert all(torch.equal(a, b.grad) for a, b in zip(before, adversary.discriminator.parameters(), strict=True))
    assert all(parameter.requires_grad for parameter in adversary.discriminator.parameters())


def test_it_goes_on_where_it_stopped():
    batch = lively(0)
    pair = (batch.blendshapes, batch.pose), (smooth(batch.blendshapes), batch.pose)
    first = Adversary(AdversaryConfig(width=16))
    first.learn(*pair, batch)
    resumed = Adversary(AdversaryConfig(width=16))
    resumed.load_state_dict(deepcopy(first.state_dict()))
    for one in (first, resumed):
        torch.manual_seed(7)
        one.learn(*pair, batch)
    assert first.steps == resumed.steps == 2
    weights = (one.discriminator.state_dict().values() for one in (first, resumed))
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    with pytest.raises(ValueError, match="its own hears"):
        Adversary(AdversaryConfig(width=16, hears=True)).load_state_dict(first.state_dict())

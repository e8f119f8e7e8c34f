"""Energy of high spatial frequencies against Parseval's theorem and sine waves."""

import numpy as np
import pytest

from benchmarks.spectrum import band_energy

EVERYWHERE = np.ones((96, 96), bool)


def wave(length_px: float, amplitude: float = 20.0) -> np.ndarray:
    columns = np.arange(96)
    row = 128 + amplitude * np.sin(2 * np.pi * columns / length_px)
    return np.round(np.broadcast_to(row[None, :, None], (96, 96, 3))).astype(np.uint8)


@pytest.mark.parametrize(("length_px", "band"), [(3.0, 0), (6.0, 1)])
def test_a_wave_has_its_energy_in_its_band(length_px, band):
    energy = band_energy(wave(length_px), EVERYWHERE)
    assert energy[band] == pytest.approx(20.0**2 / 2, rel=0.1)
    assert energy[1 - band] < 0.05 * energy[band]


def test_coarse_waves_and_flat_pictures_have_none():
    fine = band_energy(wave(3.0), EVERYWHERE).sum()
    assert band_energy(wave(48.0), EVERYWHERE).sum() < 0.01 * fine
    assert band_energy(np.full((96, 96, 3), 90, np.uint8), EVERYWHERE).tolist() == [0.0, 0.0]


def test_only_windows_inside_the_region_count():
    picture = wave(48.0)
    picture[:, :40] = wave(3.0)[:, :40]
    left, right = np.zeros((2, 96, 96), bool)
    left[:, :32], right[:, 48:] = True, True
    assert band_energy(picture, left)[0] > 100 * band_energy(picture, right)[0]


def test_a_region_that_fills_no_window_has_no_energy_to_tell():
    thin = np.zeros((96, 96), bool)
    thin[:, 40:60] = True
    assert band_energy(wave(3.0), thin) is None
    assert band_energy(wave(3.0), thin, window_px=16) is not None

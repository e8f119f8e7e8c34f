"""Lips that touch, at rest and where `mouthClose` undoes `jawOpen`, and cheeks that fold softly in a smile."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avatar.blendshapes import INDEX
from training.head.landmarks import IBUG_VERTICES
from training.head.surface import Surface, relaxed

PRESSED_M = 0.0003
"""Touching lips overlap by this much, so that no light shows between the triangles."""

FALLOFF_M = 0.007
"""Distance from the lip line over which a correction fades."""

LIP_DEPTH_M = 0.009
"""Contact is sought this far behind the front of the lips."""

SWEEPS = 6
STATIONS = np.linspace(-0.985, 0.985, 61)
"""Places across the mouth where the gap is measured, in half widths."""


CREASED = ("mouthSmileLeft", "mouthSmileRight", "mouthDimpleLeft", "mouthDimpleRight")
"""Face units whose cheeks fold too sharply."""

CREASE_ROUNDS = 40


def closed_lips(surface: Surface) -> Surface:
    """Correct the rest position and the direction of `mouthClose` of the refined body."""
    rest = surface.position
    for _ in range(SWEEPS):
        rest = rest + closing(surface, rest)
    expression = surface.expression.copy()
    jaw, close = INDEX["jawOpen"], INDEX["mouthClose"]
    shut = rest + expression[:, :, jaw] + expression[:, :, close]
    for _ in range(SWEEPS):
        step = closing(surface, shut)
        shut = shut + step
        expression[:, :, close] += step
    return replace(surface, position=rest, expression=expression)


def soft_cheeks(surface: Surface) -> Surface:
    """Smooth the smile over the cheeks, away from the lips."""
    expression = surface.expression.copy()
    corners = [int(np.flatnonzero(surface.origin == IBUG_VERTICES[number])[0]) for number in (48, 54, 51, 57)]
    distance = np.linalg.norm(surface.position[:, None] - surface.position[corners], axis=2).min(1)
    share = np.clip((distance - 0.006) / 0.009, 0, 1)[:, None]
    for name in CREASED:
        raw = expression[:, :, INDEX[name]]
        smooth = relaxed(surface.faces, raw, CREASE_ROUNDS, distance > 0.005)
        expression[:, :, INDEX[name]] = raw + share * (smooth - raw)
    return replace(surface, expression=expression)


def closing(surface: Surface, posed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacements [V, 3] that make the lips of `posed` [V, 3] touch along their whole width."""
    landmark = {number: int(np.flatnonzero(surface.origin == IBUG_VERTICES[number])[0]) for number in (48, 54, 62, 66)}
    corners = [landmark[48], landmark[54]]
    middle, half_width = posed[corners].mean(0), np.ptp(posed[corners, 0]) / 2
    upperness = _upperness(surface, landmark)
    points = _samples(surface, np.column_stack([posed, upperness]), landmark)
    x, y, z, above = points.T
    x = (x - middle[0]) / half_width
    gap, contact = np.zeros(len(STATIONS)), np.zeros(len(STATIONS))
    rim = posed[[landmark[62], landmark[66]], 1].mean()
    for k, station in enumerate(STATIONS):
        line = rim + (middle[1] - rim) * station**2
        column = (np.abs(x - station) < 0.02) & (np.abs(y - line) < 0.012)
        column &= z > z[column].max() - LIP_DEPTH_M
        lowest, highest = y[column & (above > 0)].min(), y[column & (above <= 0)].max()
        gap[k], contact[k] = lowest - highest, (lowest + highest) / 2
    gap, contact = _smoothed(gap), _smoothed(contact)
    across = (posed[:, 0] - middle[0]) / half_width
    fade = np.where(np.abs(across) < 1, 1.0, np.exp(-(((np.abs(across) - 1) * half_width / 0.003) ** 2)))
    away = np.abs(posed[:, 1] - np.interp(across, STATIONS, contact))
    move = (np.interp(across, STATIONS, gap) + PRESSED_M) / 2 * fade * np.exp(-((away / FALLOFF_M) ** 2))
    move[(posed[:, 2] < middle[2] - 0.03) | (away > 3 * FALLOFF_M)] = 0
    result = np.zeros_like(posed)
    result[:, 1] = -np.sign(upperness) * move
    return result


def _upperness(surface: Surface, landmark: dict[int, int]) -> NDArray[np.float64]:
    """Positive where the jaw takes a vertex along by less than the middle between both lips at its x."""
    drop = surface.expression[:, 1, INDEX["jawOpen"]]
    corners = [landmark[48], landmark[54]]
    center, corner = drop[[landmark[62], landmark[66]]].mean(), drop[corners].mean()
    x = surface.position[:, 0] - surface.position[corners, 0].mean()
    share = np.clip(np.abs(x) / (np.ptp(surface.position[corners, 0]) / 2), 0, 1) ** 2
    return drop - (center + (corner - center) * share)


def _samples(surface: Surface, values: NDArray, landmark: dict[int, int], steps: int = 5) -> NDArray:
    """Values interpolated on a grid over each triangle near the mouth."""
    center = values[[landmark[48], landmark[54]], :3].mean(0)
    near = np.abs(values[surface.faces][:, :, :3].mean(1) - center).max(1) < 0.035
    grid = [(i / steps, j / steps, 1 - (i + j) / steps) for i in range(steps + 1) for j in range(steps + 1 - i)]
    return np.einsum("gk,fkd->fgd", np.array(grid), values[surface.faces[near]]).reshape(-1, values.shape[1])


def _smoothed(values: NDArray) -> NDArray:
    kernel = np.hanning(7)[1:-1]
    return np.convolve(np.pad(values, 2, "edge"), kernel / kernel.sum(), "valid")

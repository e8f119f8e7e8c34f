"""Stages that compute something simple but time-dependent: a slip in windows, order or state changes the result."""

import asyncio

import numpy as np

from avatar.config import FEATURE_HOP_SAMPLES
from avatar.motion import Motion
from avatar.pipeline import RasterResult

SIZE = 16


class FakeStages:
    """audio_encoder: mean level of each 20 ms. motion: each row by itself. The track's smoothing adds a row of context
    on both sides, which is as much as every merged row had."""

    def __init__(self, jitter: np.random.Generator | None = None, fail_at: int | None = None):
        self._jitter = jitter
        self._fail_at = fail_at
        self.calls = dict.fromkeys(("audio_encoder", "motion", "rasterizer", "enhancer", "stabilizer"), 0)

    async def _work(self, stage: str) -> None:
        self.calls[stage] += 1
        if self._jitter is not None:
            for _ in range(int(self._jitter.integers(0, 4))):
                await asyncio.sleep(0)

    async def audio_encoder(self, audio):
        await self._work("audio_encoder")
        level = np.abs(audio.reshape(-1, FEATURE_HOP_SAMPLES)).mean(1)
        return np.repeat(level[:, None], 768, 1).astype(np.float16)

    async def motion(self, features):
        await self._work("motion")
        level = features[:, 0].astype(np.float32)
        rows = len(level)
        blendshapes = np.repeat(np.clip(level, 0, 1)[:, None], 52, 1)
        pose = np.repeat((0.1 * level)[:, None], 6, 1)
        viseme = np.zeros((rows, 20), np.float32)
        viseme[:, 0] = level < 0.05
        viseme[:, 1] = 1 - viseme[:, 0]
        return Motion(blendshapes, pose, viseme)

    async def rasterizer(self, avatar, blendshapes, pose, previous_blendshapes, previous_pose):
        if self._fail_at is not None and self.calls["rasterizer"] >= self._fail_at:
            raise RuntimeError("rasterizer broke")
        await self._work("rasterizer")
        raster = np.zeros((SIZE, SIZE, 4), np.uint8)
        raster[..., 0] = int(blendshapes[17] * 255)
        raster[..., 3] = 255
        return RasterResult(
            raster,
            np.ones((SIZE, SIZE), np.uint8),
            np.zeros((SIZE, SIZE, 2), np.float16),
            np.full((68, 2), blendshapes[17], np.float32),
            np.full((478, 3), 2 * blendshapes[17], np.float32),
        )

    async def enhancer(self, raster, mask):
        await self._work("enhancer")
        return raster.copy()

    async def stabilizer(self, image, previous, motion_vectors):
        await self._work("stabilizer")
        return ((3 * image.astype(np.uint16) + previous) // 4).astype(np.uint8)


BACKGROUND = np.full((SIZE, SIZE, 3), 40, np.uint8)

"""The five stages as Triton models of the same server, called through BLS."""

import time
from collections.abc import Callable

import numpy as np
import triton_python_backend_utils as pb_utils

from avatar.errors import StageError
from avatar.motion import Motion
from avatar.pipeline import RasterResult


class BlsStages:
    """Implements `avatar.pipeline.Stages`.

    Args:
        observe: told the name of a stage and the milliseconds of each of its calls.
    """

    def __init__(self, observe: Callable[[str, float], None]):
        self._observe = observe

    async def audio_encoder(self, audio: np.ndarray) -> np.ndarray:
        (features,) = await self._call("audio_encoder", {"AUDIO": audio}, "FEATURES")
        return features

    async def motion(self, features: np.ndarray) -> Motion:
        return Motion(*await self._call("motion", {"FEATURES": features}, "BLENDSHAPES", "POSE", "VISEME"))

    async def rasterizer(self, avatar, blendshapes, pose, previous_blendshapes, previous_pose) -> RasterResult:
        inputs = {
            "AVATAR": np.array([avatar.encode()], np.object_),
            "BLENDSHAPES": blendshapes,
            "POSE": pose,
            "PREVIOUS_BLENDSHAPES": previous_blendshapes,
            "PREVIOUS_POSE": previous_pose,
        }
        return RasterResult(*await self._call("rasterizer", inputs, "RASTER", "MASK", "MOTION_VECTORS", "LANDMARKS"))

    async def enhancer(self, raster: np.ndarray, mask: np.ndarray) -> np.ndarray:
        (image,) = await self._call("enhancer", {"RASTER": raster, "MASK": mask}, "IMAGE")
        return image

    async def stabilizer(self, image: np.ndarray, previous: np.ndarray, motion_vectors: np.ndarray) -> np.ndarray:
        inputs = {"IMAGE": image, "PREVIOUS": previous, "MOTION_VECTORS": motion_vectors}
        (frame,) = await self._call("stabilizer", inputs, "FRAME")
        return frame

    async def _call(self, stage: str, inputs: dict[str, np.ndarray], *outputs: str) -> list[np.ndarray]:
        """Runs a stage on a batch of one; tensors here have no batch axis."""
        started_s = time.perf_counter()
        response = await pb_utils.InferenceRequest(
            model_name=stage,
            requested_output_names=list(outputs),
            inputs=[pb_utils.Tensor(name, np.ascontiguousarray(array)[None]) for name, array in inputs.items()],
        ).async_exec()
        if response.has_error():
            raise StageError(stage, response.error().message())
        # as_numpy gives an array of its own: the shared memory is free again once the response is.
        arrays = [pb_utils.get_output_tensor_by_name(response, name).as_numpy()[0] for name in outputs]
        self._observe(stage, 1000 * (time.perf_counter() - started_s))
        return arrays

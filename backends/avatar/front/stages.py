"""The five stages as Triton models of the same server, called through BLS.

What one stage hands to the next is passed on as Triton's own tensor: it stays where it is in shared memory and is
copied neither here nor into the next request.
"""

from __future__ import annotations

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
        return _array(features)

    async def motion(self, features: np.ndarray) -> Motion:
        outputs = await self._call("motion", {"FEATURES": features}, "BLENDSHAPES", "POSE", "VISEME")
        return Motion(*map(_array, outputs))

    async def rasterizer(self, avatar, blendshapes, pose, previous_blendshapes, previous_pose) -> RasterResult:
        inputs = {
            "AVATAR": np.array([avatar.encode()], np.object_),
            "BLENDSHAPES": blendshapes,
            "POSE": pose,
            "PREVIOUS_BLENDSHAPES": previous_blendshapes,
            "PREVIOUS_POSE": previous_pose,
        }
        raster, mask, motion_vectors, landmarks, face_mesh = await self._call(
            "rasterizer", inputs, "RASTER", "MASK", "MOTION_VECTORS", "LANDMARKS", "FACE_MESH"
        )
        return RasterResult(raster, mask, motion_vectors, _array(landmarks), _array(face_mesh))

    async def enhancer(self, raster: pb_utils.Tensor, mask: pb_utils.Tensor) -> pb_utils.Tensor:
        (image,) = await self._call("enhancer", {"RASTER": raster, "MASK": mask}, "IMAGE")
        return image

    async def stabilizer(
        self, image: pb_utils.Tensor, previous: np.ndarray, motion_vectors: pb_utils.Tensor
    ) -> np.ndarray:
        inputs = {"IMAGE": image, "PREVIOUS": previous, "MOTION_VECTORS": motion_vectors}
        (frame,) = await self._call("stabilizer", inputs, "FRAME")
        return _array(frame)

    async def _call(self, stage: str, inputs: dict, *outputs: str) -> list[pb_utils.Tensor]:
        """Runs a stage on a batch of one; arrays here have no batch axis."""
        started_s = time.perf_counter()
        response = await pb_utils.InferenceRequest(
            model_name=stage,
            requested_output_names=list(outputs),
            inputs=[
                pb_utils.Tensor(name, np.ascontiguousarray(value)[None]) if isinstance(value, np.ndarray) else value
                for name, value in inputs.items()
            ],
        ).async_exec()
        if response.has_error():
            raise StageError(stage, response.error().message())
        tensors = [pb_utils.get_output_tensor_by_name(response, name) for name in outputs]
        self._observe(stage, 1000 * (time.perf_counter() - started_s))
        return tensors


def _array(tensor: pb_utils.Tensor) -> np.ndarray:
    """The tensor as an array of its own, without the batch axis: the shared memory is free once the tensor is."""
    return tensor.as_numpy()[0]

"""Stands in for the rasterizer: a plain picture whose first channel is the opening of the jaw."""

import numpy as np
import triton_python_backend_utils as pb_utils

JAW_OPEN = 17


class TritonPythonModel:
    def execute(self, requests):
        return [self._respond(request) for request in requests]

    def _respond(self, request):
        jaw_open = pb_utils.get_input_tensor_by_name(request, "BLENDSHAPES").as_numpy()[:, JAW_OPEN]
        count = len(jaw_open)
        raster = np.full((count, 512, 512, 4), 255, np.uint8)
        raster[..., 0] = np.round(255 * jaw_open).astype(np.uint8)[:, None, None]
        outputs = {
            "RASTER": raster,
            "MASK": np.ones((count, 512, 512), np.uint8),
            "MOTION_VECTORS": np.zeros((count, 512, 512, 2), np.float16),
            "LANDMARKS": np.full((count, 68, 2), 256, np.float32),
            "FACE_MESH": np.full((count, 478, 3), 256, np.float32),
        }
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])

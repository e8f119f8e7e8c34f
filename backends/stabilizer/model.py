"""The stabilizer stage: a picture, the one before it and the motion between them in; the picture held steady out."""

import numpy as np
import triton_python_backend_utils as pb_utils

from avatar.config import FRAME_SIZE
from avatar.stabilizer import stabilize

INPUTS = ("IMAGE", "PREVIOUS", "MOTION_VECTORS")


class TritonPythonModel:
    """Stateless: the caller keeps the picture before."""

    def initialize(self, args):
        # The first calls load compiled kernels, and a client's frame must not wait for them. Transparent pictures and
        # such without motion take other ways than the rest.
        opaque = np.full((FRAME_SIZE, FRAME_SIZE, 4), 255, np.uint8)
        for motion in (0.0, np.nan):
            stabilize(opaque, opaque, np.full((FRAME_SIZE, FRAME_SIZE, 2), motion, np.float16))

    def execute(self, requests):
        return [self._respond(request) for request in requests]

    def _respond(self, request):
        try:
            batch = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in INPUTS]
            frames = [stabilize(*row) for row in zip(*batch, strict=True)]
        except Exception as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INTERNAL))
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor("FRAME", frames[0][None] if len(frames) == 1 else np.stack(frames))]
        )

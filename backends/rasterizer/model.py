"""The rasterizer stage: face controls in; picture, parts, motion vectors, landmarks and face mesh out."""

import functools
import json
import os
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from avatar import catalog
from avatar.errors import AvatarError
from avatar.rasterizer import Renderer

CONTROLS = ("BLENDSHAPES", "POSE", "PREVIOUS_BLENDSHAPES", "PREVIOUS_POSE")
OUTPUTS = {
    "RASTER": "raster",
    "MASK": "mask",
    "MOTION_VECTORS": "motion_vectors",
    "LANDMARKS": "landmarks",
    "FACE_MESH": "face_mesh",
}


class TritonPythonModel:
    """Keeps a renderer for each of the latest avatars; the default one is loaded before the server is ready."""

    def initialize(self, args):
        parameters = {
            name: value["string_value"]
            for name, value in json.loads(args["model_config"]).get("parameters", {}).items()
        }
        avatars_dir = Path(os.environ.get("AVATAR_AVATARS_DIR") or parameters.get("avatars_dir") or catalog.AVATARS_DIR)
        workers = int(parameters.get("threads", 0)) or len(os.sched_getaffinity(0))

        @functools.lru_cache(maxsize=int(parameters.get("resident_avatars", 4)))
        def renderer(name):
            return Renderer.load(catalog.folder(name, avatars_dir), workers)

        self.renderer = renderer
        for name in catalog.names(avatars_dir)[: int(parameters.get("resident_avatars", 4))]:
            self.renderer(name)

    def execute(self, requests):
        return [self._respond(request) for request in requests]

    def _respond(self, request):
        try:
            names = pb_utils.get_input_tensor_by_name(request, "AVATAR").as_numpy().ravel()
            controls = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in CONTROLS]
            results = [self.renderer(name.decode()).render(*row) for name, *row in zip(names, *controls, strict=True)]
        except AvatarError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.NOT_FOUND))
        except Exception as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INTERNAL))
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, _stacked([getattr(result, field) for result in results]))
                for name, field in OUTPUTS.items()
                if name in wanted
            ]
        )


def _stacked(rows):
    return rows[0][None] if len(rows) == 1 else np.stack(rows)

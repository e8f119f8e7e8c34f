"""Triton's `onnxruntime` backend for servers that have the Python backend only.

Serves any model whose configuration says `backend: "onnxruntime"`, so that the same config.pbtxt runs here and on a
server with the C++ backend, which takes no notice of the parameters that only this one knows: `engine`, `precision`,
`threads`.
"""

import json
import os
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from avatar.engine import EngineConfig, TensorSpec, check_signature, load


class TritonPythonModel:
    """One network. The requests of one `execute` run as one batch."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        cache_dir = os.environ.get("AVATAR_CACHE_DIR")
        parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
        path = Path(pb_utils.get_model_dir()) / (config["default_model_filename"] or "model.onnx")
        self.engine = load(
            path,
            EngineConfig(
                engine=parameters.get("engine", "auto"),
                threads=_threads(config, parameters),
                precision=os.environ.get("AVATAR_PRECISION") or parameters.get("precision", "auto"),
                cache_dir=Path(cache_dir) if cache_dir else None,
            ),
        )
        self.batched = config["max_batch_size"] > 0
        self.inputs = [_spec(tensor, self.batched) for tensor in config["input"]]
        self.outputs = [_spec(tensor, self.batched) for tensor in config["output"]]
        check_signature(self.engine, self.inputs, self.outputs, config["max_batch_size"])
        # The first run allocates and may compile; a client must not wait for it. Where sizes are dynamic, the
        # configuration's warm-up says which there will be.
        if all(None not in spec.shape[self.batched :] for spec in self.inputs):
            zeros = {spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype) for spec in self.inputs}
            self.engine.run(zeros)
        pb_utils.Logger.log_info(f"{args['model_instance_name']}: {path.name} runs on {self.engine.name}")

    def execute(self, requests):
        try:
            rows = [_tensors(request, self.inputs) for request in requests]
            results = self.engine.run(_joined(rows, self.inputs) if len(rows) > 1 else rows[0])
        except Exception as error:
            failure = pb_utils.TritonError(str(error), pb_utils.TritonError.INTERNAL)
            return [pb_utils.InferenceResponse(error=failure) for _ in requests]
        if len(rows) == 1:
            return [self._response(requests[0], results)]
        ends = np.cumsum([len(next(iter(row.values()))) for row in rows])
        starts = [0, *ends[:-1]]
        return [
            self._response(request, {name: array[start:end] for name, array in results.items()})
            for request, start, end in zip(requests, starts, ends, strict=True)
        ]

    def _response(self, request, results):
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(spec.name, results[spec.name]) for spec in self.outputs if spec.name in wanted]
        )


def _threads(config, parameters):
    """What is configured, or this instance's share of the cores."""
    configured = int(parameters.get("threads", parameters.get("intra_op_thread_count", 0)))
    instances = sum(max(1, group["count"]) for group in config["instance_group"])
    return configured or max(1, len(os.sched_getaffinity(0)) // instances)


def _spec(tensor, batched):
    dims = [None if size == -1 else int(size) for size in tensor["dims"]]
    dtype = np.dtype(pb_utils.triton_string_to_numpy(tensor["data_type"]))
    return TensorSpec(tensor["name"], dtype, (None, *dims) if batched else tuple(dims))


def _tensors(request, specs):
    return {spec.name: pb_utils.get_input_tensor_by_name(request, spec.name).as_numpy() for spec in specs}


def _joined(rows, specs):
    return {spec.name: np.concatenate([row[spec.name] for row in rows]) for spec in specs}

"""Networks in ONNX files, run by OpenVINO or ONNX Runtime on the CPU behind one interface."""

import functools
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from avatar.errors import AvatarError
from avatar.quantization import GROUP_SIZE, quantize_weights

ENGINES = ("openvino", "onnxruntime")
"""In order of preference: OpenVINO is the faster of the two on every CPU measured, and knows bfloat16."""


PRECISIONS = ("f32", "bf16", "int8")

SHAPES_KEPT = 4
"""Of one network, where not only the batch is dynamic; each compiled one holds its own copy of the weights."""


class ModelMismatchError(AvatarError):
    """A network's tensors are not those that its configuration declares."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Attributes:
    name: of the tensor.
    dtype: NumPy type.
    shape: with the batch axis first; None where any size will do.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} [{', '.join('-1' if size is None else str(size) for size in self.shape)}]"


class Engine(Protocol):
    """A loaded network. Not to be called from two threads at once.

    Attributes:
        name: one of ENGINES, and the precision it computes in.
        inputs, outputs: what the network takes and gives.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the network on a batch: tensors by name, each [B, ...]; the result is the caller's own."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Attributes:
    engine: `auto`, `openvino` or `onnxruntime`.
    threads: CPU threads of one run, 0 for all cores.
    precision: `f32`, `bf16` or `int8` (OpenVINO only), or `auto`, the fastest that the CPU has. `int8` is bfloat16
        but for large matrix products, whose weights and activations are 8-bit integers (`avatar.quantization`).
    cache_dir: where OpenVINO keeps compiled networks, None to compile at each start.
    """

    engine: str = "auto"
    threads: int = 0
    precision: str = "auto"
    cache_dir: Path | None = None

    def __post_init__(self):
        _one_of("engine", self.engine, ("auto", *ENGINES))
        _one_of("precision", self.precision, ("auto", *PRECISIONS))
        if self.threads < 0:
            raise ValueError(f"threads must be 0 (all cores) or more, got {self.threads}")


def load(path: Path, config: EngineConfig | None = None) -> Engine:
    """Loads the network at `path`.

    Raises:
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: the engine asked for, or any, is not installed.
    """
    config = config or EngineConfig()
    if not path.is_file():
        raise FileNotFoundError(
            f"the network must be an ONNX file, got {path}, which is not there; export it or check out the repository"
        )
    installed = [name for name in ENGINES if importlib.util.find_spec(name)]
    engine = config.engine if config.engine != "auto" else next(iter(installed), "openvino")
    if engine not in installed:
        raise ModuleNotFoundError(
            f"engine {engine!r} must be installed, got {', '.join(installed) or 'no engine'}; run `pip install "
            f"{engine}`"
        )
    return {"openvino": OpenVinoEngine, "onnxruntime": OnnxRuntimeEngine}[engine](path, config)


class OpenVinoEngine:
    """OpenVINO on the CPU.

    Networks with a dynamic batch axis are compiled for one row, and a batch runs row by row: with all shapes known the
    enhancer needs two thirds of the time (21 against 32 core-ms), and on a CPU rows gain nothing from company. Where
    other axes are dynamic too, the network is compiled for each shape as it comes; the latest are kept.
    """

    def __init__(self, path: Path, config: EngineConfig):
        import openvino

        core = openvino.Core()
        precision = config.precision if config.precision != "auto" else _own_precision(core)
        # Each model is a process of its own: pinned, their threads would meet on the first core and leave others idle.
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_PRECISION_HINT": "f32" if precision == "f32" else "bf16",
            "ENABLE_CPU_PINNING": "NO",
        }
        if config.threads:
            options["INFERENCE_NUM_THREADS"] = str(config.threads)
        model = core.read_model(path)
        self.inputs = tuple(self._spec(port) for port in model.inputs)
        self.outputs = tuple(self._spec(port) for port in model.outputs)
        self._by_row = all(spec.shape and spec.shape[0] is None for spec in self.inputs)
        if precision == "int8" and not quantize_weights(model):
            precision = "bf16"
        if precision == "int8":
            options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = str(GROUP_SIZE)
        self.name = f"openvino {precision}"
        if precision != "f32" and all(spec.dtype == np.uint8 for spec in self.outputs):
            # What follows the last convolution stays in float32 unless told otherwise; bytes do not need that.
            for operation in model.get_ops():
                operation.get_rt_info()["enforceBF16evenForGraphTail"] = "YES"
        elif config.cache_dir is not None:
            # A network from the cache has lost such marks.
            core.set_property({"CACHE_DIR": str(config.cache_dir / "openvino")})

        @functools.lru_cache(maxsize=SHAPES_KEPT)
        def request(shapes: tuple[tuple[int, ...], ...]):
            if self._by_row:
                model.reshape({spec.name: [1, *shape] for spec, shape in zip(self.inputs, shapes, strict=True)})
            return core.compile_model(model, "CPU", options).create_infer_request()

        self._request = request
        if all(None not in spec.shape[1:] for spec in self.inputs):
            request(tuple(spec.shape[1:] for spec in self.inputs))

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        batch = len(tensors[self.inputs[0].name])
        if not self._by_row or batch == 1:
            return self._infer(tensors)
        rows = [self._infer({name: array[i : i + 1] for name, array in tensors.items()}) for i in range(batch)]
        return {spec.name: np.concatenate([row[spec.name] for row in rows]) for spec in self.outputs}

    def _infer(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        # share_inputs spares a copy; the arrays live until the run is over.
        request = self._request(tuple(tensors[spec.name].shape[1:] for spec in self.inputs))
        results = request.infer(dict(tensors), share_inputs=True, share_outputs=False)
        return {spec.name: array for spec, array in zip(self.outputs, results.values(), strict=True)}

    @staticmethod
    def _spec(port) -> TensorSpec:
        shape = tuple(None if size.is_dynamic else size.get_length() for size in port.partial_shape)
        return TensorSpec(port.any_name, np.dtype(port.element_type.to_dtype()), shape)


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU."""

    def __init__(self, path: Path, config: EngineConfig):
        import onnxruntime

        if config.precision not in ("auto", "f32"):
            raise ValueError(f"precision of engine onnxruntime must be f32, got {config.precision}; use openvino")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = config.threads
        options.inter_op_num_threads = 1
        # Spinning workers would take the cores from the stages that run meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.name = "onnxruntime f32"
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = tuple(map(self._spec, self._session.get_inputs()))
        self.outputs = tuple(map(self._spec, self._session.get_outputs()))
        self._names = [spec.name for spec in self.outputs]

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._names, self._session.run(self._names, dict(tensors)), strict=True))

    @staticmethod
    def _spec(value) -> TensorSpec:
        kind = value.type.removeprefix("tensor(").removesuffix(")")
        dtype = {"float": "float32", "double": "float64", "string": "object"}.get(kind, kind)
        return TensorSpec(
            value.name, np.dtype(dtype), tuple(size if isinstance(size, int) else None for size in value.shape)
        )


def _own_precision(core) -> str:
    """The fastest precision of this CPU. Where it has matrix units (AMX), bfloat16 is as fast as it gets."""
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "f32"
    flags = _cpu_flags()
    return "int8" if "avx512_vnni" in flags and "amx_tile" not in flags else "bf16"


def _cpu_flags() -> frozenset[str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())


def check_signature(
    engine: Engine, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], max_batch: int
) -> None:
    """Compares a network with what its configuration declares.

    Args:
        inputs, outputs: as declared, with the batch axis (None) first.
        max_batch: largest batch that will be run.

    Raises:
        ModelMismatchError: a name, type or shape differs, or the batch axis is fixed below `max_batch`; all
            differences are named.
    """
    faults = _differences("input", engine.inputs, inputs) + _differences("output", engine.outputs, outputs)
    for spec in engine.inputs:
        if max_batch > 1 and spec.shape and spec.shape[0] is not None:
            faults.append(
                f"input {spec.name} has batch axis {spec.shape[0]}, configured is max_batch_size {max_batch}; export "
                "it with a dynamic one"
            )
    if faults:
        raise ModelMismatchError("the network must have the tensors of its configuration: " + "; ".join(faults))


def _differences(kind: str, actual: Sequence[TensorSpec], declared: Sequence[TensorSpec]) -> list[str]:
    network = {spec.name: spec for spec in actual}
    faults = []
    for spec in declared:
        found = network.get(spec.name)
        if found is None:
            faults.append(f"{kind} {spec.name} is configured, the network has {', '.join(network)}")
        elif found.dtype != spec.dtype or not _shapes_agree(found.shape, spec.shape):
            faults.append(f"{kind} {spec} is configured, the network has {found}")
    if kind == "input":
        names = {spec.name for spec in declared}
        faults += [f"input {name} of the network is not configured" for name in network if name not in names]
    return faults


def _shapes_agree(network: Sequence[int | None], declared: Sequence[int | None]) -> bool:
    if len(network) != len(declared):
        return False
    # The batch axis is checked apart.
    return all(a == b or a is None or b is None for a, b in zip(network[1:], declared[1:], strict=True))


def _one_of(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")

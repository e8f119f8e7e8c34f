"""What a model repository asks for, read from its config.pbtxt files."""

from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from avatar_server.errors import EnvironmentFault


@dataclass(frozen=True, slots=True)
class Model:
    """Attributes:
    name: of the model and its folder.
    backend: value of `backend` in its config.pbtxt.
    processes: how many stubs Triton starts for it.
    weights: file it must find, None if it has none.
    """

    name: str
    backend: str
    processes: int
    weights: Path | None


def read(model_repository: Path, names: tuple[str, ...] = ()) -> list[Model]:
    """The models of a repository, or those of them in `names`.

    Raises:
        EnvironmentFault: there is no such repository, it lacks a named model, or a config.pbtxt cannot be parsed.
    """
    if not model_repository.is_dir():
        raise EnvironmentFault(f"the model repository must be a folder, got {model_repository}, which is not there")
    found = {path.parent.name: path for path in sorted(model_repository.glob("*/config.pbtxt"))}
    missing = [name for name in names if name not in found]
    if missing or not found:
        raise EnvironmentFault(
            f"{model_repository} must hold the model {missing[0]!r}, got {', '.join(found)}"
            if missing
            else f"{model_repository} must hold at least one <model>/config.pbtxt, got none"
        )
    return [_model(found[name]) for name in (names or found)]


def _model(path: Path) -> Model:
    config = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(path.read_text(), config)
    except text_format.ParseError as error:
        raise EnvironmentFault(f"{path} must be a Triton model configuration: line {error}") from error
    weights = None
    if config.backend == "onnxruntime":
        weights = path.parent / _version(config) / (config.default_model_filename or "model.onnx")
    processes = sum(max(1, group.count) for group in config.instance_group) or 1
    return Model(path.parent.name, config.backend, processes, weights)


def _version(config) -> str:
    versions = config.version_policy.specific.versions
    return str(max(versions, default=1))

"""The five stages in this process: the pipeline without a server, for training, evaluation and tests of equivalence."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from avatar import catalog, engine
from avatar.config import STAGES
from avatar.errors import StageError
from avatar.motion import Motion
from avatar.pipeline import Frame, Producer
from avatar.rasterizer import RasterResult, Renderer
from avatar.session import Session
from avatar.session_config import SessionConfig
from avatar.stabilizer import stabilize

MODEL_REPOSITORY = Path(__file__).resolve().parent.parent / "model_repository"


class LocalStages:
    """Implements `avatar.pipeline.Stages`; one thread a stage, as each Triton model instance has."""

    def __init__(
        self,
        model_repository: Path = MODEL_REPOSITORY,
        avatars_dir: Path = catalog.AVATARS_DIR,
        config: engine.EngineConfig | None = None,
    ):
        self._avatars_dir = avatars_dir
        self._networks = {
            stage: engine.load(model_repository / stage / "1" / "model.onnx", config)
            for stage in ("audio_encoder", "motion", "enhancer")
        }
        self._renderers: dict[str, Renderer] = {}
        self._threads = {stage: ThreadPoolExecutor(1, thread_name_prefix=stage) for stage in STAGES}

    async def audio_encoder(self, audio: np.ndarray) -> np.ndarray:
        return (await self._network("audio_encoder", AUDIO=audio))["FEATURES"]

    async def motion(self, features: np.ndarray) -> Motion:
        rows = await self._network("motion", FEATURES=features)
        return Motion(rows["BLENDSHAPES"], rows["POSE"], rows["VISEME"])

    async def rasterizer(self, avatar, blendshapes, pose, previous_blendshapes, previous_pose) -> RasterResult:
        return await self._run(
            "rasterizer", self._rasterize, avatar, blendshapes, pose, previous_blendshapes, previous_pose
        )

    async def enhancer(self, raster: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return (await self._network("enhancer", RASTER=raster, MASK=mask))["IMAGE"]

    async def stabilizer(self, image, previous, motion_vectors) -> np.ndarray:
        return await self._run("stabilizer", stabilize, image, previous, motion_vectors)

    def _rasterize(self, avatar: str, *controls: np.ndarray) -> RasterResult:
        if avatar not in self._renderers:
            self._renderers[avatar] = Renderer.load(catalog.folder(avatar, self._avatars_dir))
        return self._renderers[avatar].render(*controls)

    async def _network(self, stage: str, **tensors: np.ndarray) -> dict[str, np.ndarray]:
        batch = {name: np.ascontiguousarray(tensor[None]) for name, tensor in tensors.items()}
        outputs = await self._run(stage, self._networks[stage].run, batch)
        return {name: tensor[0] for name, tensor in outputs.items()}

    async def _run(self, stage: str, function, *arguments):
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads[stage], function, *arguments)
        except Exception as error:
            raise StageError(stage, str(error)) from error


async def frames(
    pcm: np.ndarray,
    config: SessionConfig,
    stages: LocalStages,
    outputs: frozenset[str] = frozenset({"FRAME", "LANDMARKS"}),
    avatars_dir: Path = catalog.AVATARS_DIR,
) -> AsyncIterator[Frame]:
    """All frames of `pcm` ([N] int16 at the session's rate), made in this process."""
    session = Session(config)
    producer = Producer(session, stages, catalog.background(catalog.folder(config.avatar, avatars_dir)), outputs)
    session.push(pcm)
    session.end()
    async for frame in producer.frames():
        yield frame

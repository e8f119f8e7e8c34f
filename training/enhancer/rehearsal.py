"""Frames of avatars that a network already draws well, as it draws them: learned again, they are not forgotten.

Source: Li and Hoiem, "Learning without Forgetting", 2016. It takes the rasterizer and the network, no path
tracer.
"""

from pathlib import Path

import numpy as np
import torch

from avatar.networks.enhancer import Enhancer, EnhancerConfig
from training.enhancer.attention import attention_map
from training.enhancer.pairs import Pairs
from training.enhancer.shipped import fitted, weights_of


def teacher_of(path: Path, network: EnhancerConfig = EnhancerConfig()) -> Enhancer:
    """The network of an exported `model.onnx`, ready to draw."""
    teacher = Enhancer(network).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    teacher.load_state_dict(fitted(weights_of(path), teacher.state_dict()))
    return teacher


def rehearsed_pairs(teacher: Enhancer, avatar: Path, count: int, first: int = 0) -> Pairs:
    """Pairs whose truth is what `teacher` makes of the raster.

    Args:
        teacher: draws this avatar well.
        avatar: folder with `head.npz` and `avatar.toml`.
        count: pairs, at least 1.
        first: index of the first face of `training.scene.expressions`; faces of held-out splits are passed over.

    Raises:
        ValueError: count is less than 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    from avatar.rasterizer import Renderer
    from training.scene.expressions import training_faces

    renderer = Renderer.load(avatar, workers=1)
    rows = []
    for face in training_faces(first, count):
        frame = renderer.render(face.blendshapes, face.pose, face.blendshapes, face.pose)
        with torch.no_grad():
            truth = teacher(torch.from_numpy(frame.raster[None].copy()), torch.from_numpy(frame.mask[None].copy()))
        attention = attention_map(frame.mask, frame.landmarks)
        rows.append((frame.raster, frame.mask, truth[0].numpy(), attention, frame.landmarks))
    names = tuple(f"{avatar.name}/rehearsed/{number:05d}" for number in range(count))
    return Pairs(names, *(np.stack(array) for array in zip(*rows, strict=True)))

"""The welded quad surfaces of the body and of the organs in the head, with expressions and skinning weights."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatar.blendshapes import ARKIT
from avatar.head import Joint, Part
from training.head.identity import identity_vertices
from training.head.source import METERS_PER_UNIT, BaseMesh, group_center, read_base_mesh, read_rig_weights, read_target
from training.head.surface import Surface

CROP_BELOW_EYES_M = 0.37
"""The body ends this far below the eyes, outside the portrait."""

JAW_BONES = ("jaw", "tongue", "oris05", "oris06", "oris07")


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The identity in meters about the skull's base joint, before any refinement.

    Attributes:
        mesh: the base mesh, for its topology and UV.
        vertices: [19158, 3].
        expression: [19158, 3, 52].
        weights: [19158, 5].
        joints: [5, 3].
    """

    mesh: BaseMesh
    vertices: NDArray[np.float64]
    expression: NDArray[np.float64]
    weights: NDArray[np.float64]
    joints: NDArray[np.float64]

    def surface(self, group: str, part: Part) -> Surface:
        """One group of the base mesh as a quad surface over all vertices of the base mesh, with MakeHuman's UV."""
        quads = self.mesh.quads[group]
        uv = np.zeros((len(self.vertices), 2))
        uv[quads] = self.mesh.uv[self.mesh.quad_uvs[group]]
        uv[:, 1] = 1 - uv[:, 1]
        kinds, origin = np.full(len(quads), part, np.uint8), np.arange(len(self.vertices))
        return Surface(self.vertices, self.expression, self.weights, uv, quads, kinds, origin)

    def body(self) -> Surface:
        """Head, neck and upper torso, with the inside of the mouth marked as `Part.MOUTH`."""
        surface = self.surface("body", Part.SKIN)
        center = self.mesh.uv[self.mesh.quad_uvs["body"]].mean(1)
        height = self.vertices[surface.faces][:, :, 1]
        inside = (center[:, 0] > 0.75) & (center[:, 0] < 0.93) & (center[:, 1] < 0.15) & (height.min(1) > -0.08)
        part = np.where(inside, Part.MOUTH, Part.SKIN).astype(np.uint8)
        eyes_m = self.joints[Joint.LEFT_EYE, 1]
        return replace(surface, part=part).kept(height.max(1) > eyes_m - CROP_BELOW_EYES_M)


def read_anatomy(morphs: dict[str, float]) -> Anatomy:
    """Read the identity that `morphs` mix, the face units and the rig."""
    mesh = read_base_mesh()
    vertices = identity_vertices(mesh, morphs)
    origin = group_center(mesh, vertices, "joint-head")
    vertices = (vertices - origin) * METERS_PER_UNIT
    units = [read_target(f"faceunits01/targets/faceunits/{name}", len(vertices)) for name in ARKIT]
    neck = group_center(mesh, vertices, "joint-neck")
    joints = np.zeros((5, 3))
    joints[Joint.ROOT] = neck
    joints[Joint.NECK] = 0.4 * neck
    joints[Joint.JAW] = group_center(mesh, vertices, "joint-mouth")
    joints[Joint.LEFT_EYE] = group_center(mesh, vertices, "joint-l-eye")
    joints[Joint.RIGHT_EYE] = group_center(mesh, vertices, "joint-r-eye")
    return Anatomy(
        mesh,
        vertices,
        np.stack(units, 2) * METERS_PER_UNIT,
        skinning_weights(mesh, vertices, neck),
        joints,
    )


def skinning_weights(mesh: BaseMesh, vertices: NDArray, neck: NDArray) -> NDArray[np.float64]:
    """Weights [V, 5]: the neck bends over its whole length, the skull is rigid, the shoulders stay.

    Args:
        mesh: topology.
        vertices: [V, 3], m, about the skull's base joint.
        neck: [3] joint at the neck's root.
    """
    bones = read_rig_weights(len(vertices))
    axis = -neck / np.linalg.norm(neck)
    along = (vertices - neck) @ axis / np.linalg.norm(neck)
    head = smoothstep((along - 0.05) / 0.85)
    jaw = sum(weight for bone, weight in bones.items() if bone.startswith(JAW_BONES))
    jaw[np.unique(mesh.quads["helper-lower-teeth"])] = 1
    weights = np.zeros((len(vertices), 5))
    weights[:, Joint.JAW] = head * np.clip(jaw, 0, 1)
    weights[:, Joint.NECK] = head - weights[:, Joint.JAW]
    weights[:, Joint.ROOT] = 1 - head
    for group, joint in (("helper-l-eye", Joint.LEFT_EYE), ("helper-r-eye", Joint.RIGHT_EYE)):
        weights[np.unique(mesh.quads[group])] = np.eye(5)[joint]
    return weights


def smoothstep(value: NDArray) -> NDArray:
    """3x² − 2x³ of `value` held in [0, 1]."""
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)

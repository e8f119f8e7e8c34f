"""The figure in the studio: every part of a head with its material, its hairs, and how they move."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import bpy
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from avatar.head import Head, Joint, Part
from training.scene import organs
from training.scene.brows import BrowLook, LashLook, brow_hairs, lash_hairs
from training.scene.complexion import Complexion, paint_complexion
from training.scene.geometry import PartMesh, Welded, unit, vertex_normals
from training.scene.graph import Graph
from training.scene.paint import Plate, paint_masks, smoothstep
from training.scene.skin import SkinLook, skin_material
from training.scene.strands import Rooted, StrandObject


@dataclass(frozen=True)
class Look:
    """Everything that makes one person."""

    complexion: Complexion = field(default_factory=Complexion)
    skin: SkinLook = field(default_factory=SkinLook)
    eyes: organs.EyeLook = field(default_factory=organs.EyeLook)
    brows: BrowLook = field(default_factory=BrowLook)
    lashes: LashLook = field(default_factory=LashLook)
    seed: int = 3


def landmarks_of(head: Head, vertices: np.ndarray) -> np.ndarray:
    """iBUG-68 points [68, 3] on `vertices` [V, 3]."""
    return np.einsum("lcx,lc->lx", vertices[head.faces[head.landmark_faces]], head.landmark_barycentric)


def hair_material(name: str, melanin: float, redness: float, roughness: float = 0.32) -> bpy.types.Material:
    graph = Graph(name)
    inputs = {"Melanin": melanin, "Melanin Redness": redness, "Roughness": roughness, "Radial Roughness": 0.4, "Random Color": 0.25, "Random Roughness": 0.2}
    return graph.surface(graph.node("BsdfHairPrincipled", inputs, parametrization="MELANIN").outputs[0])


def islands(faces: np.ndarray) -> list[np.ndarray]:
    """Vertex indices of each connected piece of the triangles `faces` [F, 3]."""
    size = faces.max() + 1
    pairs = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    used = np.unique(faces)
    return [used[labels[used] == label] for label in np.unique(labels[used])]


class Figure:
    """Builds the meshes and hairs of an avatar in the current Blender scene.

    Args:
        avatar_dir: folder with `head.npz`.
        look: materials and hairs.
    """

    def __init__(self, avatar_dir: str | Path, look: Look):
        self.head = Head.load(Path(avatar_dir) / "head.npz")
        self.look = look
        self.rest = self.head.template.astype(np.float64)
        self.landmarks = landmarks_of(self.head, self.rest)
        self.joints = self.head.joints().astype(np.float64)
        self.meshes: dict[str, PartMesh] = {}
        self.rooted: dict[str, tuple[Rooted, StrandObject]] = {}
        self._add_skin()
        self._add_organs()
        self._add_face_hair()

    @property
    def middle_of_eyes(self) -> np.ndarray:
        return self.joints[[Joint.LEFT_EYE, Joint.RIGHT_EYE]].mean(0)

    def objects(self) -> dict[str, bpy.types.Object]:
        """Blender objects by the names that `render_view` hides and shows."""
        named = {name: mesh.object for name, mesh in self.meshes.items()}
        return named | {name: strands.object for name, (_, strands) in self.rooted.items()}

    def pose(self, blendshapes: np.ndarray, pose: np.ndarray) -> None:
        """Moves everything to [52] coefficients and a [6] head pose."""
        vertices = self.head.pose(blendshapes, pose).astype(np.float64)
        for mesh in self.meshes.values():
            mesh.pose(vertices)
        for rooted, strands in self.rooted.values():
            strands.move(rooted.posed(vertices))

    def _faces(self, part: Part) -> np.ndarray:
        return self.head.faces[self.head.part == part]

    def _mesh(self, name: str, part: Part) -> PartMesh:
        mesh = PartMesh(name, Welded.of(self.rest, self._faces(part)), self.rest, self.head.uv)
        self.meshes[name] = mesh
        return mesh

    def _add_skin(self) -> None:
        plate = Plate.around(self.landmarks)
        masks = paint_masks(self.landmarks, plate, self.look.seed)
        mesh = self._mesh("skin", Part.SKIN)
        mesh.attribute("scalp", np.zeros(len(mesh.welded.source)))
        surface, relief = paint_complexion(self.look.complexion, masks)
        mesh.mesh.materials.append(skin_material(self.look.skin, plate, surface, relief))

    def _add_organs(self) -> None:
        eyes = self._mesh("eyes", Part.EYES)
        points = self.rest[eyes.welded.source]
        centres = np.where(points[:, :1] > 0, self.joints[Joint.LEFT_EYE], self.joints[Joint.RIGHT_EYE])
        eyes.attribute("gaze", unit(points - centres))
        eyes.mesh.materials.append(organs.eye_material(self.look.eyes))
        lips = self.landmarks[60:68].mean(0)
        for name, part, material in (
            ("teeth", Part.TEETH, organs.tooth_material),
            ("tongue", Part.TONGUE, organs.tongue_material),
            ("mouth", Part.MOUTH, organs.mouth_material),
        ):
            mesh = self._mesh(name, part)
            place = self.rest[mesh.welded.source]
            reach = (0.012, 0.034) if part == Part.MOUTH else (0.018, 0.05)
            mesh.attribute("depth", smoothstep(lips[2] - place[:, 2], *reach))
            mesh.attribute("gum", np.zeros(len(place)))
            mesh.mesh.materials.append(material())

    def _add_face_hair(self) -> None:
        faces = self._faces(Part.SKIN)
        normals = np.zeros_like(self.rest)
        welded = self.meshes["skin"].welded
        normals[welded.source] = vertex_normals(self.rest[welded.source], welded.faces)
        brows = brow_hairs(self.look.brows, self.landmarks, self.rest, welded.source[welded.faces], normals, self.look.seed)
        self._grow("brows", brows, hair_material("brows", 0.82, 0.45, 0.45))
        cards = [self.rest[island] for island in islands(self._faces(Part.LASHES))]
        eyes = self.joints[[Joint.LEFT_EYE, Joint.RIGHT_EYE]]
        lashes = lash_hairs(self.look.lashes, cards, eyes, self.rest, faces, self.look.seed)
        self._grow("lashes", lashes, hair_material("lashes", 0.97, 0.2, 0.5))

    def _grow(self, name: str, rooted: Rooted, material: bpy.types.Material) -> None:
        self.rooted[name] = (rooted, StrandObject(name, rooted.posed(self.rest), rooted.radius_m, material))

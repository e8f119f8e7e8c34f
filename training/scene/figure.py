"""The figure in the studio: every part of a head with its material, its hairs, and how they move."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import bpy
import numpy as np
from scipy.spatial import cKDTree

from avatar.head import Head, Joint, Part
from training.head.atlas import PLACES_PX, SIZE_PX
from training.person import Person, from_table
from training.scene import organs
from training.scene.brows import BrowLook, LashLook, brow_hairs, lash_hairs, lid_edge
from training.scene.complexion import Complexion, paint_complexion
from training.scene.garment import KnitLook, knit_material
from training.scene.geometry import PartMesh, Welded, rigid_motion, to_blender_matrix, unit, vertex_normals
from training.scene.graph import Graph
from training.scene.hair import HairLook, Scalp, grow_hair
from training.scene.paint import BrowLine, Plate, paint_masks, smoothstep
from training.scene.skin import SkinLook, skin_material
from training.scene.strands import Rooted, StrandObject


@dataclass(frozen=True)
class Look:
    """Everything that makes one person."""

    complexion: Complexion = field(default_factory=Complexion)
    skin: SkinLook = field(default_factory=SkinLook)
    eyes: organs.EyeLook = field(default_factory=organs.EyeLook)
    brows: BrowLook = field(default_factory=BrowLook)
    brow_line: BrowLine = field(default_factory=BrowLine)
    lashes: LashLook = field(default_factory=LashLook)
    hair: HairLook = field(default_factory=HairLook)
    knit: KnitLook = field(default_factory=KnitLook)
    seed: int = 3

    @staticmethod
    def of(person: Person) -> Look:
        """The look that a person's specification describes."""
        kinds = {item.name: item.default_factory for item in dataclasses.fields(Look) if item.name != "seed"}
        return Look(**{key: from_table(kinds[key], value) if key in kinds else value
                       for key, value in person.look.items()})  # fmt: skip


def landmarks_of(head: Head, vertices: np.ndarray) -> np.ndarray:
    """iBUG-68 points [68, 3] on `vertices` [V, 3]."""
    return np.einsum("lcx,lc->lx", vertices[head.faces[head.landmark_faces]], head.landmark_barycentric)


def gum_share(uv: np.ndarray) -> np.ndarray:
    """How near [N] the gum line is: 0 at a tooth's biting edge, 1 on gums, by the place `uv` [N, 2] in the atlas."""
    share = np.zeros(len(uv))
    for name in ("upper_teeth", "lower_teeth", "upper_gum", "lower_gum"):
        left, top, width, height = PLACES_PX[name]
        across, down = ((uv * SIZE_PX - (left, top)) / (width, height)).T
        inside = (across > -0.01) & (across < 1.01) & (down > -0.01) & (down < 1.01)
        crown = down / 0.85 if name == "upper_teeth" else (1 - down) / 0.85
        share = np.where(inside, 1.0 if name.endswith("gum") else np.clip(1 - crown, 0, 1), share)
    return share


def upper_lids(landmarks: np.ndarray, joints: np.ndarray, skin: np.ndarray) -> list[np.ndarray]:
    """Edges [24, 3] of both upper lids, on the skin vertices `skin` [N, 3]."""
    left, right = joints[Joint.LEFT_EYE], joints[Joint.RIGHT_EYE]
    return [lid_edge(landmarks[[42, 45]], left, True, skin), lid_edge(landmarks[[39, 36]], right, True, skin)]


def hair_material(
    name: str,
    melanin: float,
    redness: float,
    roughness: float = 0.32,
    tone: float = 0.0,
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> bpy.types.Material:
    """Hair of one kind; each strand carries `tone` around 0, which adds `tone` times as much melanin."""
    graph = Graph(name)
    inputs = {
        "Melanin": graph.scaled(graph.attribute("tone"), tone, melanin) if tone else melanin,
        "Melanin Redness": redness,
        "Tint": (*tint, 1.0),
        "Roughness": roughness,
        "Radial Roughness": 0.4,
        "Random Color": 0.15,
        "Random Roughness": 0.2,
    }
    return graph.surface(graph.node("BsdfHairPrincipled", inputs, parametrization="MELANIN").outputs[0])


class Figure:
    """Builds the meshes and hairs of an avatar in the current Blender scene.

    Args:
        avatar_dir: folder with `head.npz`.
        scalp_file: the head's scalp, written beside it by `training.head`.
        look: materials and hairs.
    """

    def __init__(self, avatar_dir: str | Path, scalp_file: str | Path, look: Look):
        self.head = Head.load(Path(avatar_dir) / "head.npz")
        self.look = look
        self.rest = self.head.template.astype(np.float64)
        self.landmarks = landmarks_of(self.head, self.rest)
        self.joints = self.head.joints().astype(np.float64)
        self.meshes: dict[str, PartMesh] = {}
        self.rooted: dict[str, tuple[Rooted, StrandObject]] = {}
        self.rigid: dict[str, bpy.types.Object] = {}
        self.hair_faces = self._faces(Part.HAIR)
        self.vertices = self.rest
        self._skull = np.unique(self.hair_faces)
        self._add_skin(scalp_file)
        self._add_organs()
        self._add_face_hair()
        self._add_hair(scalp_file)
        clothes = self._mesh("clothes", Part.CLOTHES)
        clothes.mesh.materials.append(knit_material(look.knit))

    @property
    def middle_of_eyes(self) -> np.ndarray:
        return self.joints[[Joint.LEFT_EYE, Joint.RIGHT_EYE]].mean(0)

    def objects(self) -> dict[str, bpy.types.Object]:
        """Blender objects by the names that `render_view` hides and shows."""
        named = {name: mesh.object for name, mesh in self.meshes.items()}
        return named | {name: strands.object for name, (_, strands) in self.rooted.items()} | self.rigid

    def pose(self, blendshapes: np.ndarray, pose: np.ndarray) -> None:
        """Moves everything to [52] coefficients and a [6] head pose."""
        vertices = self.vertices = self.head.pose(blendshapes, pose).astype(np.float64)
        for mesh in self.meshes.values():
            mesh.pose(vertices)
        for rooted, strands in self.rooted.values():
            strands.move(rooted.posed(vertices))
        motion = to_blender_matrix(rigid_motion(self.rest[self._skull], vertices[self._skull]))
        for thing in self.rigid.values():
            thing.matrix_world = motion

    def _faces(self, part: Part) -> np.ndarray:
        return self.head.faces[self.head.part == part]

    def _mesh(self, name: str, part: Part) -> PartMesh:
        mesh = PartMesh(name, Welded.of(self.rest, self._faces(part)), self.rest, self.head.uv)
        self.meshes[name] = mesh
        return mesh

    def _add_skin(self, scalp_file: str | Path) -> None:
        plate = Plate.around(self.landmarks)
        lids = upper_lids(self.landmarks, self.joints, self.rest[np.unique(self._faces(Part.SKIN))])
        masks = paint_masks(self.landmarks, lids, plate, self.look.brow_line, self.look.seed)
        mesh = self._mesh("skin", Part.SKIN)
        with np.load(scalp_file) as scalp:
            distance, near = cKDTree(scalp["vertices"]).query(self.rest[mesh.welded.source])
            covered = smoothstep(scalp["inside_m"][near], 0.0, 0.016) * (distance < 0.002)
        mesh.attribute("scalp", covered)
        surface, relief = paint_complexion(self.look.complexion, masks)
        mesh.mesh.materials.append(skin_material(self.look.skin, plate, surface, relief))

    def _add_organs(self) -> None:
        eyes = self._mesh("eyes", Part.EYES)
        points = self.rest[eyes.welded.source]
        centers = np.where(points[:, :1] > 0, self.joints[Joint.LEFT_EYE], self.joints[Joint.RIGHT_EYE])
        eyes.attribute("gaze", unit(points - centers))
        eyes.mesh.materials.append(organs.eye_material(self.look.eyes))
        lips = self.landmarks[60:68].mean(0)
        for name, part, material in (
            ("teeth", Part.TEETH, organs.tooth_material),
            ("tongue", Part.TONGUE, organs.tongue_material),
            ("mouth", Part.MOUTH, organs.mouth_material),
        ):
            mesh = self._mesh(name, part)
            place = self.rest[mesh.welded.source]
            reach = (0.015, 0.065) if part == Part.MOUTH else (0.025, 0.07)
            mesh.attribute("depth", smoothstep(lips[2] - place[:, 2], *reach))
            mesh.attribute("gum", gum_share(self.head.uv[mesh.welded.source]))
            mesh.mesh.materials.append(material())

    def _add_face_hair(self) -> None:
        faces = self._faces(Part.SKIN)
        normals = np.zeros_like(self.rest)
        welded = self.meshes["skin"].welded
        normals[welded.source] = vertex_normals(self.rest[welded.source], welded.faces)
        brows = brow_hairs(
            self.look.brows,
            self.look.brow_line,
            self.landmarks,
            self.rest,
            welded.source[welded.faces],
            normals,
            self.look.seed,
        )
        self._grow("brows", brows, hair_material("brows", self.look.brows.melanin, 0.25, 0.5))
        eyes = self.joints[[Joint.LEFT_EYE, Joint.RIGHT_EYE]]
        lashes = lash_hairs(self.look.lashes, self.landmarks, eyes, self.rest, faces, self.look.seed)
        self._grow("lashes", lashes, hair_material("lashes", 0.97, 0.2, 0.5))

    def _add_hair(self, scalp_file: str | Path) -> None:
        look = self.look.hair
        long, short = grow_hair(look, Scalp.load(scalp_file), self.look.seed)
        material = hair_material("hair", look.melanin, look.redness, look.roughness, look.tone, look.tint)
        for name, strands in (("hair", long), ("baby_hair", short)):
            self.rigid[name] = StrandObject(name, strands.points, strands.radius_m, material, strands.tone).object
        with np.load(scalp_file) as scalp:
            points, faces = (
                scalp["vertices"] - 0.0006 * scalp["normals"],
                scalp["faces"][(scalp["inside_m"][scalp["faces"]] > 0.016).all(1)],
            )
        cap = PartMesh("scalp", Welded.of(points, faces), points, np.zeros((len(points), 2)))
        graph = Graph("scalp")
        cap.mesh.materials.append(graph.surface(graph.principled(Base_Color=(*self.look.skin.scalp, 1), Roughness=0.9)))
        self.rigid["scalp"] = cap.object

    def _grow(self, name: str, rooted: Rooted, material: bpy.types.Material) -> None:
        self.rooted[name] = (rooted, StrandObject(name, rooted.posed(self.rest), rooted.radius_m, material))

"""What stays the same from frame to frame: the head's surface, its texture and the camera."""

import sys
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from avatar.config import FRAME_SIZE
from avatar.head import Head, Part
from avatar.rasterizer import shading
from avatar.rasterizer.atlas import TRANSLUCENT_PARTS, Atlas, read_texture
from avatar.rasterizer.camera import FAR_M, NEAR_M, Camera
from avatar.rasterizer.light import Light
from avatar.rasterizer.silhouette import edge_neighbors, edges, same_points

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RIM_DEPTH_M = 0.03
"""How much nearer to the camera a surface may be one pixel inside its rim; more is taken for something else in
front."""

KEY_DIRECTION = (-0.59, 0.40, 0.70)
"""Towards the key light, where avatar.toml has no `[light]`: from the subject's right and above."""

HAIR_OCTAVES = 1.0
"""Hair is drawn from a texture so much coarser than the picture: single strands do not lie on the shell that shows
them, and what is as fine as a pixel would only be grain."""

TEXTURE_FILES = ("texture.png", "texture.webp")


@dataclass(frozen=True, eq=False)
class Scene:
    """A head ready to be drawn. V vertices, F triangles.

    Attributes:
        head: the skinned head.
        camera: where the picture is taken from.
        light: the light that is not baked.
        size_px: width and height of the picture.
        matrix: [4, 4] float32, world to clip space.
        tri: [F, 3] int32, the opaque triangles first, the fins last; wound so that the outside is clockwise on a
            picture whose rows grow downwards.
        part: [F] uint8, the part of each row of `tri`.
        opaque_count: number of opaque triangles.
        fins_from: index of the first triangle of `Part.HAIR_FIN`; those are drawn behind all that is translucent.
        neighbors: [F, 3] int32, the face across each edge, within the opaque or within the translucent triangles; -1 of
            fins, whose edges are transparent.
        layer_vertices: [L] int64, the vertices of the translucent triangles.
        edges, layer_edges: [E, 3] int32, of `silhouette.edges`, of the opaque and of the translucent triangles
            but fins.
        same_point: [V] int32, the vertex that stands for each vertex's point.
        atlas: the texture.
        uv_texels: [V, 2] float32, texture coordinates in texels of level 0.
        texel_area: [F] float32, twice the area of each row of `tri` in texels of level 0; `HAIR_OCTAVES` more of hair.
        face_table: [F, 8] float32, of `shading.face_table`.
    """

    head: Head
    camera: Camera
    light: Light
    size_px: int
    matrix: np.ndarray
    tri: np.ndarray
    part: np.ndarray
    opaque_count: int
    fins_from: int
    layer_vertices: np.ndarray
    neighbors: np.ndarray
    edges: np.ndarray
    layer_edges: np.ndarray
    same_point: np.ndarray
    atlas: Atlas
    uv_texels: np.ndarray
    texel_area: np.ndarray
    face_table: np.ndarray

    @classmethod
    def build(
        cls, head: Head, camera: Camera, texture: np.ndarray, size_px: int = FRAME_SIZE, key_direction=KEY_DIRECTION
    ) -> "Scene":
        """Put a head, a camera and a straight-alpha texture [h, w, 4] uint8 together."""
        if size_px % shading.LANES or not 0 < size_px <= shading.LARGEST_PX:
            raise ValueError(
                f"size_px must be a multiple of {shading.LANES} up to {shading.LARGEST_PX}, got {size_px}; resize the "
                "picture afterwards"
            )
        translucent, fin = np.isin(head.part, TRANSLUCENT_PARTS), head.part == Part.HAIR_FIN
        order = np.argsort(translucent.astype(np.int8) + fin, kind="stable")
        tri = np.ascontiguousarray(head.faces[order][:, [0, 2, 1]])
        opaque_count, fins_from = int((~translucent).sum()), int((~fin).sum())
        same_point = same_points(head.template)
        neighbors = edge_neighbors(tri[:opaque_count], same_point)
        layer_neighbors = edge_neighbors(tri[opaque_count:fins_from], same_point)
        layer_neighbors[layer_neighbors >= 0] += opaque_count
        atlas = Atlas.build(texture, head.uv, head.faces, head.part)
        uv_texels = head.uv * atlas.level_size[0].astype(np.float32)
        (ax, ay), (bx, by), (cx, cy) = uv_texels[tri].transpose(1, 2, 0)
        texel_area = np.maximum(np.abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)), np.float32(1e-6))
        part = np.ascontiguousarray(head.part[order])
        texel_area[part == Part.HAIR] *= np.float32(4.0**HAIR_OCTAVES)
        part[part == Part.HAIR_FIN] = Part.HAIR
        return cls(
            head=head,
            camera=camera,
            light=Light(head, camera.position, key_direction),
            size_px=size_px,
            matrix=camera.matrix(),
            tri=tri,
            part=part,
            opaque_count=opaque_count,
            fins_from=fins_from,
            layer_vertices=np.unique(tri[opaque_count:]),
            neighbors=np.concatenate([neighbors, layer_neighbors, np.full((fin.sum(), 3), -1, np.int32)]),
            edges=edges(neighbors),
            layer_edges=edges(layer_neighbors, opaque_count),
            same_point=same_point,
            atlas=atlas,
            uv_texels=uv_texels,
            texel_area=texel_area,
            face_table=shading.face_table(tri, part, texel_area),
        )

    @classmethod
    def load(cls, avatar_dir: str | PathLike, size_px: int = FRAME_SIZE) -> "Scene":
        """Read `avatar.toml`, `head.npz` and the texture of an avatar's folder.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file does not hold what docs/architecture.md says.
        """
        folder = Path(avatar_dir)
        settings = tomllib.loads((folder / "avatar.toml").read_text(encoding="utf-8"))
        if "camera" not in settings:
            raise ValueError(
                f"avatar.toml must have a section [camera], got {sorted(settings)}; see docs/architecture.md"
            )
        try:
            camera = Camera(**settings["camera"])
        except TypeError as error:
            raise ValueError(
                f"[camera] must hold fov_deg, position and target, got {sorted(settings['camera'])}"
            ) from error
        textures = [folder / name for name in TEXTURE_FILES if (folder / name).is_file()]
        if not textures:
            raise FileNotFoundError(f"{folder} must hold one of {', '.join(TEXTURE_FILES)}, got none; bake the texture")
        direction = settings.get("light", {}).get("direction", KEY_DIRECTION)
        return cls.build(Head.load(folder / "head.npz"), camera, read_texture(textures[0]), size_px, direction)

    @property
    def rim_depth(self) -> float:
        """`RIM_DEPTH_M` as a difference of z/w, at the distance of the camera's target."""
        focus_m = np.linalg.norm(np.subtract(self.camera.position, self.camera.target))
        return float(RIM_DEPTH_M * 2 * FAR_M * NEAR_M / ((FAR_M - NEAR_M) * focus_m**2))

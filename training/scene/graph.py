"""Shader graphs written as expressions: a thin layer over Blender's node trees."""

from __future__ import annotations

import bpy

Socket = bpy.types.NodeSocket
Value = float | tuple | Socket


class Graph:
    """Builds the node tree of one material.

    Args:
        name: name of the new material.
    """

    def __init__(self, name: str):
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self._tree = self.material.node_tree
        self._tree.nodes.clear()
        self._output = self._tree.nodes.new("ShaderNodeOutputMaterial")

    def node(self, kind: str, inputs: dict[str | int, Value] | None = None, **properties) -> bpy.types.Node:
        """Adds `ShaderNode<kind>`, sets its properties, then its inputs: a socket is linked, a constant is stored."""
        node = self._tree.nodes.new("ShaderNode" + kind)
        for key, value in properties.items():
            setattr(node, key, value)
        for key, value in (inputs or {}).items():
            self._feed(node.inputs[key], value)
        return node

    def _feed(self, socket: Socket, value: Value) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self._tree.links.new(value, socket)
        elif socket.type == "RGBA" and len(value) == 3:
            socket.default_value = (*value, 1.0)
        else:
            socket.default_value = value

    def attribute(self, name: str, vector: bool = False) -> Socket:
        """A vertex attribute of the mesh, as a number or as a vector."""
        node = self.node("Attribute", attribute_name=name)
        return node.outputs["Vector" if vector else "Fac"]

    def math(self, operation: str, first: Value, second: Value = 0.0, clamp: bool = False) -> Socket:
        node = self.node("Math", {0: first, 1: second}, operation=operation)
        node.use_clamp = clamp
        return node.outputs[0]

    def total(self, *terms: Value) -> Socket:
        """Sum of numbers."""
        result = terms[0]
        for term in terms[1:]:
            result = self.math("ADD", result, term)
        return result

    def scaled(self, value: Socket, factor: Value, offset: float = 0.0) -> Socket:
        """`value * factor + offset`."""
        return self.node("Math", {0: value, 1: factor, 2: offset}, operation="MULTIPLY_ADD").outputs[0]

    def vector(self, operation: str, first: Value, second: Value = (0.0, 0.0, 0.0)) -> Socket:
        node = self.node("VectorMath", {0: first, 1: second}, operation=operation)
        return node.outputs["Value" if operation in ("DOT_PRODUCT", "LENGTH", "DISTANCE") else "Vector"]

    def mix(self, factor: Value, first: Value, second: Value, blend: str = "MIX") -> Socket:
        """Color `first` towards `second` by `factor` in [0, 1]."""
        return self.node("MixRGB", {0: factor, 1: first, 2: second}, blend_type=blend).outputs[0]

    def ramp(self, factor: Value, start: float, end: float, low: float = 0.0, high: float = 1.0) -> Socket:
        """Smooth step of `factor` from `low` at `start` to `high` at `end`, constant outside."""
        inputs = {"Value": factor, "From Min": start, "From Max": end, "To Min": low, "To Max": high}
        return self.node("MapRange", inputs, interpolation_type="SMOOTHSTEP").outputs[0]

    def noise(self, where: Socket, scale: float, detail: float = 2.0, roughness: float = 0.5) -> Socket:
        """Fractal noise around 0.5; `scale` in cycles per unit of `where`."""
        inputs = {"Vector": where, "Scale": scale, "Detail": detail, "Roughness": roughness}
        return self.node("TexNoise", inputs).outputs[0]

    def voronoi(self, where: Socket, scale: float, feature: str = "F1") -> Socket:
        """Distance to the nearest cell point (F1) or to the cell's edge."""
        return self.node("TexVoronoi", {"Vector": where, "Scale": scale}, feature=feature).outputs["Distance"]

    def bump(self, height_m: Socket, strength: float = 1.0) -> Socket:
        """Normal perturbed by a height field in metres."""
        return self.node("Bump", {"Height": height_m, "Distance": 1.0, "Strength": strength}).outputs[0]

    def principled(self, subsurface_method: str = "RANDOM_WALK", **inputs: Value) -> Socket:
        """Principled BSDF; keywords name its sockets, with underscores for blanks."""
        named = {key.replace("_", " "): value for key, value in inputs.items()}
        return self.node("BsdfPrincipled", named, subsurface_method=subsurface_method).outputs[0]

    def surface(self, shader: Socket) -> bpy.types.Material:
        """Makes `shader` the material's surface."""
        self._tree.links.new(shader, self._output.inputs["Surface"])
        return self.material

"""The path-traced look of an avatar: geometry, materials, strands, studio and renderer, as code for Cycles."""

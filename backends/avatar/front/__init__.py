"""Triton's side of the `avatar` model: requests to calls, stages to BLS, frames to responses."""

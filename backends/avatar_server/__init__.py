"""Runs the real `tritonserver` of the nvidia-pytriton wheel on this project's models."""

from avatar_server.config import ServerConfig
from avatar_server.errors import EnvironmentFault, LaunchError, ServerDied, StartFailed
from avatar_server.server import Progress, RunningServer, start_server

__all__ = [
    "EnvironmentFault",
    "LaunchError",
    "Progress",
    "RunningServer",
    "ServerConfig",
    "ServerDied",
    "StartFailed",
    "start_server",
]

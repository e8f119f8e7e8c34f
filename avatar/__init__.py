"""Real-time talking avatar: speech in, frames out. A plain Python library without any server."""

__version__ = "0.1.0"

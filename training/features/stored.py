"""Files of feature weights: torchvision's VGG, which a user brings, or a small network trained here."""

from pathlib import Path

import torch

from training.features.network import Features, layout_of


def load_features(path: Path, blocks: int | None = None) -> Features:
    """A frozen feature network.

    Args:
        path: state dict of torchvision's form (`vgg16-397923af.pth`), or a file that `save_features` wrote.
        blocks: how many blocks to keep, the finest first; None keeps all. Fewer cost less.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else, or has fewer blocks.
    """
    state = _stored(path)
    layout = layout_of(state)
    if blocks is not None and not 1 <= blocks <= len(layout):
        raise ValueError(f"blocks must be 1 to {len(layout)} for {path}, got {blocks}")
    features = Features(layout[:blocks])
    wanted = features.state_dict().keys()
    features.load_state_dict({name: state[name].float() for name in wanted})
    return features.eval().requires_grad_(False)


def save_features(path: Path, features: Features, provenance: dict[str, str | int | float | list]) -> None:
    """Weights as FP16, and what they were made from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: values.half() for name, values in features.state_dict().items()}
    torch.save({"state": state, "provenance": provenance}, path)


def provenance_of(path: Path) -> dict:
    """What `save_features` was told; empty for a file from elsewhere."""
    return torch.load(path, map_location="cpu", weights_only=True).get("provenance", {})


def _stored(path: Path) -> dict[str, torch.Tensor]:
    if not path.exists():
        raise FileNotFoundError(
            f"{path} must be the weights of a VGG (torchvision's state dict); "
            "`python -m training.features` makes smaller ones"
        )
    state = torch.load(path, map_location="cpu", weights_only=True)
    return state.get("state", state)

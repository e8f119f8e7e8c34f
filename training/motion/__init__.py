"""Training of the audio encoder and the motion network: `python -m training.motion`."""

"""Training of the stages: data, losses, training and evaluation. Nothing here is needed to serve."""

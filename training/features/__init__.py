"""Features of pictures, and the perceptual distance between pictures that they give."""

"""Networks to the ONNX files that the model repository serves, with parity checks."""

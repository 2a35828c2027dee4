"""ONNX: reading graphs into the engine's own, operator by operator, and writing them."""

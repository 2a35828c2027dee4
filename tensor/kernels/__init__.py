"""Convolution and pooling on arrays."""

"""The public ONNX backend tests, run by our importer: `make conformance`."""

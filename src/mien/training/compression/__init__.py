"""Smaller and faster ONNX files: weights in fewer bytes, arithmetic in int8."""

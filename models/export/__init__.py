"""Models as files that others run: ONNX graphs and TorchServe archives."""

"""Export of a checkpoint to one file for other runtimes: ONNX or torch.export."""

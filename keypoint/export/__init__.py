"""From a checkpoint to one file that others can run: ONNX, torch.export, TorchScript."""

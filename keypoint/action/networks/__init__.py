"""Networks that classify clips: C2D and MFNet-3D, with blocks at the papers' sites."""

"""The device: discovery, the one backend seam, its operations, roofs and lock."""

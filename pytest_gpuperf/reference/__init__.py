"""Runs held against runs: what changed, by how much, and whether that is the code or the machine. Nothing here knows pytest or a device."""

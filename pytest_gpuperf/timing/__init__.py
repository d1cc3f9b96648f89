"""Timing: the device clock, cache states, the sampler, and what is checked about the timed calls."""

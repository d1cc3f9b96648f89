"""Kernels compiled without a GPU: what a GPU would load, its resources and its instructions."""

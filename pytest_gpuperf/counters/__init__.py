"""Hardware counters: their names, the reports of Nsight Compute, and what several kernels of one body come to."""

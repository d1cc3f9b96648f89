"""What other tools of the toolkit see of a body: hardware counters, and findings of compute-sanitizer."""

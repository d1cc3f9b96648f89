"""The gate tests itself: measurements of one kernel against itself, and against itself made slower."""

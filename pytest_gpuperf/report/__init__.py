"""What people read of a run: the page, its drawings, and the terminal's summary. Reads records only."""

"""Records: the journal of a session, the run file that is merged from journals, and their schema."""

"""Budgets: their grammar, who wins where markers stack, and the judge."""

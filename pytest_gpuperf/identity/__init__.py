"""Are the output bits still the same, or close enough where that is what was asked."""

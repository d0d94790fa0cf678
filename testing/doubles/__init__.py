"""Doubles of identity providers and of Stream, as strict with tokens as the real ones."""

"""Doubles of identity providers and of Stream. They check tokens as strictly as the real ones."""

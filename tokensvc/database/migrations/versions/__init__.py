"""The steps, in order; one is never edited after a release."""

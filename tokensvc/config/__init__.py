"""The settings: their model, their sources and the checks between them."""

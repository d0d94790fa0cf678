"""The peers of the service: a minimal Flask route, and a minimal endpoint by hand."""

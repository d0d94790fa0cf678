"""tokensvc: the backend that a Stream Chat `tokenProvider` calls."""

__version__ = "0.1.0"

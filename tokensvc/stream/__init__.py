"""
Calls to Stream's server API, as the owner of the app.

Owns the wire and the server token. Is handed a key pair and knows no ring; leaves the reading of
the answer to whoever asks.
"""

"""
`make run`: a service with accounts or with an identity provider of its own, and printed commands.

For development only, and so not in the wheel: production installs none of it.
"""

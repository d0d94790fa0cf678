"""The values of the RateLimit fields (draft-ietf-httpapi-ratelimit-headers-11)."""

from tokensvc.limits.rules import LimitState


def fields(state: LimitState) -> tuple[str, str]:
    """Give the values of `RateLimit-Policy` and `RateLimit`, Structured Field lists of one item."""
    return (
        f'"{state.policy}";q={state.limit};w={state.window}',
        f'"{state.policy}";r={state.remaining};t={state.reset_after}',
    )

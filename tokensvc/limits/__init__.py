"""
Rate limits: how many requests of a user, a service or an address may pass.

Owns the counting (GCRA, in Redis for all instances or in this process), the values of the
RateLimit fields, and the refusal beyond a limit. `callers` decides which request counts under which
policy.
"""

"""
Rate limits: how often a user, a service or an address may ask.

Owns the counting (sliding windows, in Redis for all instances or in this process) and the values of
the RateLimit fields. Which request counts against which policy, and the refusal, is up to callers.
"""

"""
Types and rules that every package uses: refusals, the current request, callers, user IDs, the user
object, the clock.

Pure: standard library only, no I/O.
"""

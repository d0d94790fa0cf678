"""
The words that every other package uses: refusals, callers, user ids, the user object, the clock.

Owns pure values and rules. No I/O and nothing but the standard library, so that any package may
import it and every rule here can be tested by calling it.
"""

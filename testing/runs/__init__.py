"""
Runs of the real service that show a promise: long ones for `proofs/`, short ones for tests.

Each module has a function `prove()`. It returns the figures of a run: `holds` is whether they show
the promise, `lines()` yields them as text.
"""

PROOFS = {
    "leak": "no token is minted after the response to a revocation",
    "sessions": "an ended session gives access to nothing",
    "second": "a sign-in directly after a revocation works, at any time of a second",
    "clocks": "different clocks and slow commits leak no token",
    "latency": "nothing is minted or refreshed after the response, however long Stream takes",
    "crash": "actions survive crashes, in the database and at Stream",
    "rotation": "rotation under load fails no request",
    "session_races": "simultaneous refreshes give a session one next token",
    "session_model": "sessions follow their model in random interleavings",
    "restore": "what was refused before a database was lost is refused after its restore",
    "purge": "the purge of ended sessions does not delay mints",
    "slow_clients": "slow clients do not delay others",
    "front_doors": "faults behind the shipped balancers fail no request",
    "failover": "a failover mints for no refused user and loses nothing that a standby confirmed",
    "stuck": "a part outside that hangs or fails delays no response and no return",
    "ablation": "a test fails without each line that keeps a promise",
}
"""The promise of each proof: `python -m proofs.NAME`."""

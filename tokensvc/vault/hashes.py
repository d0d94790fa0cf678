"""Keyed hashes of what users type, which the database must not show."""

import hashlib

_DIGEST_BYTES = 16


class KeyedHashes:
    """
    Keyed hashes of user IDs and addresses, for the database and the audit trail.

    Users type passwords, or IDs of other services, into the field of the ID. A reader of the
    database cannot guess them without the key.

    Args:
        secret: Secret that every process has, and the database has not.
    """

    def __init__(self, secret: str) -> None:
        self._key = hashlib.blake2b(secret.encode("utf-8"), person=b"tokensvc sign-in").digest()

    def of_user_id(self, user_id: str) -> str:
        """Return the hash of a user ID, of an account or not."""
        return self._hash(user_id, b"user_id")

    def of_user_at(self, user_id: str, address_hash: str) -> str:
        """Return the hash of a user ID together with the hash of an address."""
        return self._hash(f"{address_hash} {user_id}", b"user_id+address")

    def of_address(self, address: str) -> str:
        """Return the hash of an address."""
        return self._hash(address, b"address")

    def of_network(self, network: str) -> str:
        """Return the hash of the network of an address."""
        return self._hash(network, b"network")

    def _hash(self, text: str, purpose: bytes) -> str:
        return hashlib.blake2b(
            text.encode("utf-8"), digest_size=_DIGEST_BYTES, key=self._key, person=purpose
        ).hexdigest()

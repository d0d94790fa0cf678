"""Codes: invitations to sign up, and the reset of a forgotten password."""

import secrets
from collections.abc import Callable, Sequence

import msgspec

from tokensvc.accounts import rules, store
from tokensvc.accounts.dependencies import Dependencies
from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.accounts.rules import CodeKind
from tokensvc.accounts.service import no_account
from tokensvc.accounts.store import StoredCode
from tokensvc.audit.rules import Action, Details
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Transaction
from tokensvc.standing import store as standings
from tokensvc.standing.rules import RevocationKind

_ANY_USER = "invitation:any"
"""Subject of the audit event of an invitation without a user ID, which has no colon."""
_ID_PREFIX = "inv_"
_ID_DIGITS = 16
"""Hexadecimal digits of the hash that name an invitation: they do not help to guess the code."""


class Invitation(msgspec.Struct, frozen=True):
    """
    A new invitation. It can be used once.

    Attributes:
        invitation: Secret for the sign-up, shown only here. The app sends it to the user.
        expires_at: Expiry, in epoch seconds.
    """

    invitation: str
    expires_at: int

    def __repr__(self) -> str:
        """Leave out the secret."""
        return f"{type(self).__name__}(expires_at={self.expires_at!r})"


class OpenInvitation(msgspec.Struct, frozen=True):
    """
    An invitation that can still be used. Nothing shows its secret again.

    Attributes:
        id: ID of the invitation, with which it can be withdrawn.
        user_id: The only ID that it is for; `None` for any.
        created_at: Time of its creation, in epoch seconds.
        expires_at: Expiry, in epoch seconds.
    """

    id: str
    user_id: str | None
    created_at: int
    expires_at: int


class ResetCode(msgspec.Struct, frozen=True):
    """
    A new reset code. It can be used once.

    Attributes:
        code: Secret that permits a new password, shown only here. The app sends it to the user.
        expires_at: Expiry, in epoch seconds.
    """

    code: str
    expires_at: int

    def __repr__(self) -> str:
        """Leave out the secret."""
        return f"{type(self).__name__}(expires_at={self.expires_at!r})"


class AccountCodes:
    """The codes of accounts; only their hashes are stored."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps

    def invite(self, user_id: str | None, context: ActionContext) -> Invitation:
        """
        Create an invitation.

        Args:
            user_id: The only ID that it is for; `None` for any.

        Raises:
            Refusal: `user_id_invalid`; `user_erased`; `user_id_taken`.
        """
        if user_id is not None:
            rules.check_user_id(user_id, self._deps.settings.user_id_prefix, self._deps.alphabet)
        ttl = self._deps.settings.invitation_ttl
        with self._deps.database.write() as tx:
            if user_id is not None:
                standings.check_not_erased(tx, user_id)
            if user_id is not None and store.find(tx, user_id) is not None:
                raise Refusal(
                    Code.USER_ID_TAKEN, "This user ID has an account already, or had one."
                )
            code, expires_at = self._add(tx, CodeKind.INVITATION, user_id, ttl)
            self._record_invitation(
                tx, context, Action.INVITATION_CREATED, user_id, rules.hash_code(code)
            )
        return Invitation(code, expires_at)

    def invitations(self) -> Sequence[OpenInvitation]:
        """Return the invitations that can still be used, newest first."""
        now = self._deps.database_clock()
        with self._deps.database.read() as connection:
            found = store.open_invitations(connection, now)
        return [
            OpenInvitation(_id_of(one.code_hash), one.user_id, one.created_at, one.expires_at)
            for one in found
        ]

    def withdraw(self, invitation_id: str, context: ActionContext) -> None:
        """
        End an invitation that was not used.

        Raises:
            Refusal: `not_found`.
        """
        digits = invitation_id.removeprefix(_ID_PREFIX)
        with self._deps.database.write() as tx:
            now = self._deps.database_clock.read(tx)
            is_id = len(digits) == _ID_DIGITS and invitation_id.startswith(_ID_PREFIX)
            ended = store.end_invitation(tx, digits, now) if is_id else None
            if ended is None:
                raise Refusal(
                    Code.NOT_FOUND, "This invitation does not exist, was used, or has expired."
                )
            self._record_invitation(
                tx, context, Action.INVITATION_WITHDRAWN, ended.user_id, ended.code_hash
            )

    def create_reset_code(self, user_id: str, context: ActionContext) -> ResetCode:
        """
        Create a code with which a user can set a new password.

        Raises:
            Refusal: `not_found`.
        """
        with self._deps.database.write() as tx:
            if store.lock(tx, user_id) is None:
                raise no_account()
            code, expires_at = self._add(tx, CodeKind.RESET, user_id, rules.RESET_CODE_TTL)
            record(
                tx,
                context,
                Action.RESET_CODE_CREATED,
                user_id,
                now=self._deps.database_clock.read(tx),
            )
        return ResetCode(code, expires_at)

    def reset_password(
        self, user_id: str, code: str, new_password: str, count_failure: Callable[[], None]
    ) -> None:
        """
        Set a new password, sign the user out everywhere, and forget failed sign-ins.

        Args:
            code: Reset code of the user.
            count_failure: Function that counts an invalid code and may refuse the request.

        Raises:
            Refusal: `code_invalid`; `password_rejected`, after which the code can still be used;
                what `count_failure` raises.
        """
        code_hash, now = rules.hash_code(code), self._deps.database_clock()
        with self._deps.database.read() as connection:
            found = store.find_code(connection, CodeKind.RESET, code_hash, now)
        if found is None or found.user_id != user_id:
            count_failure()
            raise _code_invalid()
        self._deps.check_password(new_password, user_id)
        with self._deps.hasher.wait_slot():
            new_hash = self._deps.hasher.hash(new_password)
            with self._deps.database.write() as tx:
                self._redeem(tx, user_id, code_hash, new_hash)
        self._deps.confirm_revocation(Target(user_id))

    def _redeem(self, tx: Transaction, user_id: str, code_hash: str, new_hash: str) -> None:
        # The account first: two codes of one user would otherwise wait for each other.
        account = store.lock(tx, user_id)
        now = self._deps.database_clock.read(tx)
        if account is None or not store.use_code(tx, CodeKind.RESET, code_hash, now):
            raise _code_invalid()
        store.replace_hash(tx, user_id, account.password_hash, new_hash)
        store.end_reset_codes(tx, user_id, now)
        lock_outs.unlock(tx, user_id, self._deps.hashes)
        context = ActionContext(user_id)
        kind = RevocationKind.PASSWORD
        details = self._deps.revoke_within(tx, user_id, kind, context)
        record(tx, context, Action.PASSWORD_RESET, user_id, now=now, details=details)

    def _record_invitation(
        self,
        tx: Transaction,
        context: ActionContext,
        action: Action,
        user_id: str | None,
        code_hash: str,
    ) -> None:
        subject = _ANY_USER if user_id is None else user_id
        now = self._deps.database_clock.read(tx)
        details: Details = {"invitation": _id_of(code_hash)}
        record(tx, context, action, subject, now=now, details=details)

    def _add(
        self, tx: Transaction, kind: CodeKind, user_id: str | None, ttl: int
    ) -> tuple[str, int]:
        """Store a new code, and return it with its expiry."""
        code = rules.make_code(kind, secrets.token_bytes(rules.CODE_BYTES))
        created_at = int(self._deps.database_clock.read(tx))
        stored = StoredCode(rules.hash_code(code), kind, user_id, created_at, created_at + ttl)
        store.insert_code(tx, stored)
        return code, stored.expires_at


def _id_of(code_hash: str) -> str:
    return _ID_PREFIX + code_hash[:_ID_DIGITS]


def _code_invalid() -> Refusal:
    return Refusal(
        Code.CODE_INVALID,
        "The code is wrong, used, expired or of another user. Request a new one from the app.",
    )

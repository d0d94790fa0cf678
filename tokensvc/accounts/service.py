"""Accounts: sign-up, creation by an operator, deletion, and the removal of a lock."""

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from tokensvc.accounts import rules, store
from tokensvc.accounts.dependencies import Dependencies
from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.accounts.rules import CodeKind
from tokensvc.accounts.store import Account
from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.core import stream_user
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Connection, Transaction
from tokensvc.database.origin import is_sign_up_closed, write_marker
from tokensvc.standing import store as standings
from tokensvc.standing.rules import RevocationKind


class SignUpRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    A new account.

    Attributes:
        user_id: ID of the user, here and on Stream. It begins with `accounts.user_id_prefix`.
        password: Password, 15 (`accounts.min_password`) to 256 characters.
        user: User object for Stream, checked like `user` at `/v1/token`.
        invitation: Invitation from the app. It is required if `accounts.sign_up` is `invitation`.
    """

    user_id: str
    password: str
    user: dict[str, Any] | None = None
    invitation: str | None = None

    def __repr__(self) -> str:
        """Leave out the secrets."""
        return f"{type(self).__name__}(user_id={self.user_id!r})"


class NewAccount(msgspec.Struct, frozen=True):
    """
    A new account.

    Attributes:
        user_id: ID of the user, here and on Stream.
        created_at: Time of the sign-up, in epoch seconds.
    """

    user_id: str
    created_at: int


class Accounts:
    """
    The accounts of this service.

    Args:
        stream_has: Function that returns whether Stream has a user; `None` if delivery is off.
    """

    def __init__(self, deps: Dependencies, stream_has: Callable[[str], bool] | None) -> None:
        self._deps = deps
        self._stream_has = stream_has

    def sign_up(self, wanted: SignUpRequest, count: Callable[[], None]) -> NewAccount:
        """
        Create the account of a user who signs up.

        Args:
            count: Function that counts the attempt and may refuse it. A request that is refused for
                its content does not count.

        Raises:
            Refusal: `sign_up_closed`; `user_id_invalid`; `user_id_mismatch` or `user_invalid`;
                `password_rejected`; `invitation_invalid`; `user_id_taken`; what `count` raises;
                `temporarily_unavailable` if no thread is free for the password, or Stream is
                unreachable.
        """
        mode = self._deps.settings.sign_up
        check_mode(mode, wanted.invitation)
        if mode == "open":
            self._check_not_closed()
        self._check(wanted)
        if wanted.user is not None:
            stream_user.check(wanted.user, wanted.user_id)
        count()
        names_user = self._check_invitation(wanted)
        if not names_user:
            settings = self._deps.settings
            rules.check_not_reserved(wanted.user_id, settings.user_id_prefix, settings.reserved_ids)
        self._check_not_taken(wanted.user_id)
        # An invitation that names the ID proves who owns it; nothing else does.
        if not names_user:
            self._check_unknown(wanted.user_id)
        return self._create(wanted, ActionContext(wanted.user_id), must_be_unknown=not names_user)

    def create(self, wanted: SignUpRequest, context: ActionContext) -> NewAccount:
        """
        Create an account as an operator, whatever `accounts.sign_up` is.

        Raises:
            Refusal: `user_id_invalid`; `user_id_mismatch` or `user_invalid`; `password_rejected`;
                `user_erased`; `user_id_taken`.
        """
        self._check(wanted)
        with self._deps.database.read() as connection:
            standings.check_not_erased(connection, wanted.user_id)
        self._check_not_taken(wanted.user_id)
        return self._create(wanted, context)

    def delete(self, user_id: str, context: ActionContext, *, erases: bool | None = None) -> bool:
        """
        Delete an account and sign its user out everywhere. The ID is never assigned again.

        Args:
            erases: Whether to erase the user; `None`: as the settings say.

        Returns:
            Whether the user is erased.

        Raises:
            Refusal: `not_found`.
        """
        if erases is None:
            erases = self._deps.settings.deletion_erases
        with self._deps.database.write() as tx:
            if store.lock(tx, user_id) is None:
                raise no_account()
            now = self._deps.database_clock.read(tx)
            if erases:
                details = self._deps.erase_within(tx, user_id, context)
            else:
                store.mark_deleted(tx, user_id, now)
                details = self._deps.revoke_within(tx, user_id, RevocationKind.DELETION, context)
            record(tx, context, Action.ACCOUNT_DELETED, user_id, now=now, details=details)
        self._deps.confirm_revocation(Target(user_id))
        return erases

    def unlock(self, user_id: str, context: ActionContext) -> None:
        """
        Forget the failed sign-ins of an account. Without any, nothing changes.

        Raises:
            Refusal: `not_found`.
        """
        with self._deps.database.write() as tx:
            if store.lock(tx, user_id) is None:
                raise no_account()
            if lock_outs.unlock(tx, user_id, self._deps.hashes):
                now = self._deps.database_clock.read(tx)
                record(tx, context, Action.ACCOUNT_UNLOCKED, user_id, now=now)

    def delete_own(self, user_id: str, signed_in_at: int, *, erases: bool | None = None) -> None:
        """
        Delete the account of a signed-in user.

        Args:
            signed_in_at: Time of the sign-in, in epoch seconds.
            erases: Whether to erase the user; `None`: as the settings say.

        Raises:
            Refusal: `sign_in_required` unless the sign-in is recent.
        """
        rules.check_recent_sign_in(signed_in_at, self._deps.database_clock())
        self.delete(user_id, ActionContext(user_id), erases=erases)

    def _check(self, wanted: SignUpRequest) -> None:
        rules.check_user_id(wanted.user_id, self._deps.settings.user_id_prefix, self._deps.alphabet)
        self._deps.check_password(wanted.password, wanted.user_id)

    def _check_invitation(self, wanted: SignUpRequest) -> bool:
        """Check the invitation, if there is one, and return whether it names the user."""
        if wanted.invitation is None:
            return False
        code_hash, now = rules.hash_code(wanted.invitation), self._deps.database_clock()
        with self._deps.database.read() as connection:
            found = store.find_code(connection, CodeKind.INVITATION, code_hash, now)
        if found is None or found.user_id not in {None, wanted.user_id}:
            raise _invitation_invalid()
        return found.user_id is not None

    def _check_not_closed(self) -> None:
        """Check that sign-up is not closed since a restore, which lost accounts."""
        with self._deps.database.read() as connection:
            if is_sign_up_closed(connection):
                raise Refusal(
                    Code.SIGN_UP_CLOSED,
                    "Users cannot sign up at the moment: the database was restored.",
                    reason="restored without an audit export: `tokensvc accounts reopen-sign-up`",
                )

    def reopen_sign_up(self, context: ActionContext) -> None:
        """Allow open sign-up again, which a restore without an audit export has closed."""
        with self._deps.database.write() as tx:
            if is_sign_up_closed(tx):
                write_marker(tx, sign_up_closed=False)
                now = self._deps.database_clock.read(tx)
                record(tx, context, Action.SIGN_UP_REOPENED, "accounts", now=now)

    def _check_not_taken(self, user_id: str) -> None:
        """Check before the work of hashing. The insertion decides."""
        with self._deps.database.read() as connection:
            if store.find(connection, user_id) is not None:
                raise _taken()

    def _check_unknown(self, user_id: str) -> None:
        """
        Refuse a user ID that already belongs to a user without an account.

        Raises:
            Refusal: `user_id_taken`; `temporarily_unavailable` if Stream is unreachable.
        """
        with self._deps.database.read() as connection:
            self._check_unknown_here(connection, user_id)
        if self._stream_has is not None and self._stream_has(user_id):
            raise _taken()

    def _check_unknown_here(self, connection: Connection, user_id: str) -> None:
        standing = standings.read(connection, Target(user_id))
        has_profile = self._deps.deliveries.profiles(connection, [user_id])
        if has_profile or standing.suspended_at or standing.tokens_valid_after:
            raise _taken()

    def _create(
        self, wanted: SignUpRequest, context: ActionContext, *, must_be_unknown: bool = False
    ) -> NewAccount:
        with self._deps.hasher.wait_slot():
            password_hash = self._deps.hasher.hash(wanted.password)
            with self._deps.database.write() as tx:
                account = self._add(tx, wanted, password_hash, context)
                if must_be_unknown:
                    # Since the question to Stream, a service may have created the user there.
                    self._check_unknown_here(tx, wanted.user_id)
                if wanted.user is not None:
                    user = wanted.user
                    self._deps.deliveries.set_profile_within(
                        tx, wanted.user_id, user, context.actor
                    )
        return NewAccount(account.user_id, account.created_at)

    def _add(
        self, tx: Transaction, wanted: SignUpRequest, password_hash: str, context: ActionContext
    ) -> Account:
        now = self._deps.database_clock.read(tx)
        account = Account(wanted.user_id, password_hash, int(now))
        if not store.insert(tx, account):
            raise _taken()
        self._use_invitation(tx, wanted, now)
        record(tx, context, Action.ACCOUNT_CREATED, wanted.user_id, now=now)
        return account

    def _use_invitation(self, tx: Transaction, wanted: SignUpRequest, now: float) -> None:
        if wanted.invitation is not None and not store.use_code(
            tx, CodeKind.INVITATION, rules.hash_code(wanted.invitation), now
        ):
            raise _invitation_invalid()


def check_mode(mode: Literal["closed", "invitation", "open"], invitation: str | None) -> None:
    """
    Refuse a sign-up that the settings do not allow.

    Raises:
        Refusal: `sign_up_closed`, or `invitation_invalid` without one.
    """
    if mode == "closed":
        raise Refusal(
            Code.SIGN_UP_CLOSED, "Users cannot sign up here: the app's operator creates accounts."
        )
    if mode == "invitation" and invitation is None:
        raise Refusal(Code.INVITATION_INVALID, "Send the `invitation` that the app gave the user.")


def no_account() -> Refusal:
    """Return the refusal for a user ID without an account."""
    return Refusal(Code.NOT_FOUND, "This user has no account here, or it was deleted.")


def _taken() -> Refusal:
    return Refusal(
        Code.USER_ID_TAKEN, "This user ID belongs to a user already, or did. Choose another one."
    )


def _invitation_invalid() -> Refusal:
    return Refusal(
        Code.INVITATION_INVALID,
        "The invitation is wrong, used, expired or for another user ID. Ask the app for a new one.",
    )

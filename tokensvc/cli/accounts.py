"""`tokensvc accounts`: built-in accounts, their codes, import and export."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

import click
import msgspec

from tokensvc.accounts.service import SignUpRequest
from tokensvc.accounts.transfer import BadRow
from tokensvc.app.services import AccountServices
from tokensvc.cli.actions import reason_option
from tokensvc.cli.printer import (
    Result,
    cells,
    facts,
    json_option,
    member_table,
    members,
    page_options,
    page_result,
    print_item,
    print_note,
    prints_result,
    table,
    with_progress,
)
from tokensvc.cli.session import (
    STDIN,
    account_services,
    file_error,
    opened_services,
    read_new_password,
)
from tokensvc.core import user_ids
from tokensvc.core.actions import ActionContext

_OWNER_ONLY = 0o600


@click.group("accounts", short_help="Manage built-in accounts and their codes.")
def accounts() -> None:
    """List, create, delete, invite, import, export, unlock and reset built-in accounts."""


@accounts.command("list", short_help="List accounts.")
@page_options
@prints_result
def list_accounts(*, after: str | None, limit: int) -> Result:
    """List accounts that are not deleted, in the order of their IDs."""
    with _opened() as services:
        found = services.reads.page(after=after, limit=limit + 1)
    columns = ("user_id", "created_at", "has_password")
    if_empty = "No account: tokensvc accounts create USER_ID"
    return page_result(found, limit, member_table(found[:limit], columns, if_empty=if_empty))


@accounts.command("show", short_help="Show an account and its failed sign-ins.")
@click.argument("user_id")
@prints_result
def show(user_id: str) -> Result:
    """
    Show the account of USER_ID, and its failed sign-ins since the last success.

    `tokensvc users show` has its sessions, and whether the user is suspended.
    """
    with _opened(user_id) as services:
        found, failed = services.reads.find(user_id)
    value = msgspec.to_builtins(found) | {"failed_sign_ins": failed}
    lines = members(found, found.__struct_fields__)
    return Result(value, [*lines, *facts([("failed sign-ins", str(failed))])])


@accounts.command("create", short_help="Create an account.")
@click.argument("user_id")
@reason_option
@prints_result
def create(user_id: str, *, context: ActionContext) -> Result:
    """
    Create an account for USER_ID, also if `accounts.sign_up` is closed.

    The password is read twice from the terminal, or is the first line of standard input.
    """
    password = read_new_password()
    with _opened() as services:
        created = services.accounts.create(SignUpRequest(user_id, password), context)
    return Result(created, [f"Created the account {created.user_id}."])


@accounts.command("delete", short_help="Delete an account.")
@click.argument("user_id")
@click.option(
    "--erase/--no-erase",
    "erases",
    default=None,
    help="Erase the user too, as `users erase` does. Default: `accounts.deletion_erases`.",
)
@reason_option
@prints_result
def delete(user_id: str, *, erases: bool | None, context: ActionContext) -> Result:
    """
    Delete the account of USER_ID and sign the user out everywhere.

    The ID is never assigned again. Without --erase, Stream keeps the user and the messages.
    """
    with _opened(user_id) as services:
        is_erased = services.accounts.delete(user_id, context, erases=erases)
    kept = "deletes" if is_erased else "keeps"
    text = f"Deleted the account {user_id}. Stream {kept} the user and the messages."
    return Result({"deleted": user_id, "erased": is_erased}, [text])


@accounts.command("invite", short_help="Create an invitation.")
@click.argument("user_id", required=False)
@reason_option
@prints_result
def invite(user_id: str | None, *, context: ActionContext) -> Result:
    """Print an invitation for USER_ID, or for any user ID. It can be used once."""
    with _opened() as services:
        created = services.codes.invite(user_id, context)
    head = "Created an invitation; it is shown once:"
    return Result(created, [head, *members(created, ("invitation", "expires_at"))])


@accounts.command("invitations", short_help="List invitations that can still be used.")
@prints_result
def invitations() -> Result:
    """List invitations that were neither used nor have expired, without their secrets."""
    with _opened() as services:
        found = services.codes.invitations()
    rows = [
        [one.id, one.user_id or "any", *cells(one, ("created_at", "expires_at"))] for one in found
    ]
    head = ("ID", "USER", "CREATED", "EXPIRES")
    return Result(found, table(head, rows, if_empty="No invitation can be used."))


@accounts.command("withdraw", short_help="Withdraw an invitation.")
@click.argument("invitation_id")
@reason_option
@prints_result
def withdraw(invitation_id: str, *, context: ActionContext) -> Result:
    """Withdraw INVITATION_ID, which `invitations` prints: no user can sign up with it."""
    with _opened() as services:
        services.codes.withdraw(invitation_id, context)
    return Result({"withdrawn": invitation_id}, [f"Withdrew the invitation {invitation_id}."])


@accounts.command("reset-code", short_help="Create a code for a new password.")
@click.argument("user_id")
@reason_option
@prints_result
def reset_code(user_id: str, *, context: ActionContext) -> Result:
    """Print a code with which USER_ID can set a new password. It can be used once."""
    with _opened(user_id) as services:
        created = services.codes.create_reset_code(user_id, context)
    head = f"Created a reset code for {user_id}; it is shown once:"
    return Result(created, [head, *members(created, ("code", "expires_at"))])


@accounts.command("unlock", short_help="Forget failed sign-ins.")
@click.argument("user_id")
@reason_option
@prints_result
def unlock(user_id: str, *, context: ActionContext) -> Result:
    """Forget the failed sign-ins of USER_ID: the user need not wait to sign in."""
    with _opened(user_id) as services:
        services.accounts.unlock(user_id, context)
    return Result({"unlocked": user_id}, [f"Unlocked the account {user_id}."])


@accounts.command("reopen-sign-up", short_help="Allow open sign-up after a restore.")
@reason_option
@prints_result
def reopen_sign_up(*, context: ActionContext) -> Result:
    """
    Allow open sign-up again, which `tokensvc after-restore` closed.

    The setting `accounts.sign_up` decides again who can sign up.

    If the restore replayed no export of the audit trail, the IDs of accounts that were created
    after the backup are free: anyone can sign up with them. Import these accounts first.
    """
    with _opened() as services:
        services.accounts.reopen_sign_up(context)
    return Result({"reopened": True}, ["Sign-up follows `accounts.sign_up` again."])


@accounts.command("import", short_help="Import accounts with their password hashes.")
@click.argument("file")
@reason_option
@prints_result
def import_accounts(file: str, *, context: ActionContext) -> Result:
    """
    Import accounts from FILE, or from standard input if FILE is `-`.

    Each line is a JSON object: {"user_id", "password_hash", "user", "created_at"}, the last two
    optional. Hashes are argon2 or scrypt as PHC strings, or bcrypt. An account that exists stays
    unchanged, so an import can be repeated.

    A line that cannot be imported is reported on standard error, with its number. All others are
    imported, and the exit status is 1.
    """
    bad: list[BadRow] = []

    def report(row: BadRow) -> None:
        bad.append(row)
        print_note(f"Line {row.line}: {row.detail}")

    with _opened() as services, _input(file) as lines:
        rows = with_progress(lines, "rows", are_printed=False)
        result = services.transfer.load(rows, context, report)
    if bad:
        print_note(f"Error: lines that were not imported: {result.bad}")
    return Result(
        msgspec.to_builtins(result) | {"bad_rows": bad},
        [f"Created {result.created}, unchanged {result.unchanged}, bad {result.bad}."],
        failed=bool(bad),
    )


@accounts.command("export", short_help="Export all accounts with their password hashes.")
@click.argument("file")
@reason_option
@json_option
def export_accounts(file: str, *, as_json: bool, context: ActionContext) -> None:
    """
    Export all accounts to the new file FILE, or to standard output if FILE is `-`.

    The lines are those that `import` reads. Only the owner can read the file: keep it so. --json
    prints their number; with FILE `-` the output already is JSON.
    """
    number = 0
    with _opened() as services, _output(file) as output:
        lines = services.transfer.dump(context)
        for line in with_progress(lines, "accounts", are_printed=file == STDIN):
            output.write(f"{line}\n")
            number += 1
    if file != STDIN:
        print_item({"exported": number}, [f"Exported {number} accounts."], as_json=as_json)


@contextmanager
def _opened(user_id: str | None = None) -> Iterator[AccountServices]:
    """Yield the services of accounts, even if the Stream keys are unreadable."""
    with opened_services(with_keys=False) as services:
        if user_id is not None:
            user_ids.check(user_id, services.settings.user_ids.alphabet)
        yield account_services(services)


@contextmanager
def _input(file: str) -> Iterator[BinaryIO]:
    if file == STDIN:
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as lines:
            yield lines
    except OSError as error:
        raise file_error("read", file, error) from error


@contextmanager
def _output(file: str) -> Iterator[TextIO]:
    if file == STDIN:
        yield sys.stdout
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with _removed_on_failure(file), os.fdopen(descriptor, "w", encoding="utf-8") as output:
            yield output
    except OSError as error:
        raise file_error("write", file, error) from error


@contextmanager
def _removed_on_failure(file: str) -> Iterator[None]:
    """Remove an incomplete file: it would look like all accounts."""
    try:
        yield
    except BaseException:
        Path(file).unlink()
        raise

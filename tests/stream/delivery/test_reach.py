"""What a cut-off does not end: open connections and push notifications."""

import pytest
from stream_chat import StreamChat

from testing.database_kinds import on_both
from testing.doubles.stream_tokens import StreamError
from testing.response import Response
from testing.sessions import revocations_on
from tests.stream.delivery.conftest import CONTEXT, KEY, SECRETS
from tokensvc.core.actions import Target
from tokensvc.revocations.service import Revocations
from tokensvc.standing.rules import RevocationKind
from tokensvc.stream.delivery.rules import FAILED_AFTER, HINT_TRIES, OBSOLETE_AFTER, REACH
from tokensvc.stream.responses import CallStatus, StreamResponse

CHANGE, HINT = "PATCH /users", "POST /users/ada/event"
LIST, DELETE = "GET /devices", "DELETE /devices"


@pytest.fixture
def phone(ada):
    """Return a world whose ada has a phone and a tablet, and whose actions reach them."""
    reaching(ada, REACH)
    add_devices(ada, "phone", "tablet")
    return ada


def reaching(world, kinds):
    world.revocations._reach = kinds


def add_devices(world, *device_ids):
    server = StreamChat(KEY, SECRETS[KEY], base_url=world.stream.url)
    for device_id in device_ids:
        server.add_device(device_id, "firebase", "ada")
    world.stream.calls.clear()


def suspend(world):
    return world.revocations.suspend("ada", CONTEXT).stream


def sign_out(world):
    return world.revocations.revoke(Target("ada"), CONTEXT).stream


def delete_account(world):
    with world.database.write() as tx:
        world.revocations.revoke_within(tx, "ada", RevocationKind.DELETION, CONTEXT)
    return world.revocations.confirm(Target("ada")).stream


def shown(world):
    """Return what a response says of the cut-off, the devices and the hint."""
    stream = world.revocations.state(Target("ada")).stream
    return stream.state, stream.devices, stream.notified


@on_both
@pytest.mark.parametrize("action", [suspend, sign_out, delete_account])
def test_action_on_a_user_reaches_clients_and_devices_after_the_cut_off(phone, action):
    before = action(phone)
    assert (before.state, before.devices, before.notified) == ("pending", "pending", "pending")
    phone.deliver()
    assert shown(phone) == ("applied", "applied", "applied")
    routes = phone.routes()
    assert routes[0] == CHANGE
    assert sorted(routes[1:]) == sorted([HINT, LIST, DELETE, LIST, DELETE])
    assert phone.stream.devices.of("ada") == []
    assert phone.stream.calls.to(*HINT.split())[0].json == {"event": {"type": "tokensvc_check"}}


@on_both
def test_erasure_waits_until_devices_and_clients_are_reached(phone):
    phone.erase("ada")
    phone.deliver()
    routes = phone.routes()
    assert routes[0] == CHANGE
    reached = routes[1 : routes.index("POST /users/delete")]
    assert sorted(reached) == sorted([HINT, LIST, DELETE, LIST, DELETE])


def test_cut_off_that_fails_holds_up_no_erasure(phone):
    phone.stream.faults.refuse(CHANGE, times=None)
    phone.erase("ada")
    for _ in range(2 * FAILED_AFTER):
        phone.deliver()
        phone.pass_time(60)
    assert phone.erasure("ada").state == "done"


def test_nothing_is_sent_before_stream_has_the_cut_off(phone):
    phone.stream.faults.refuse(CHANGE, times=None)
    suspend(phone)
    phone.deliver()
    phone.pass_time(5)
    phone.deliver()
    assert set(phone.routes()) == {CHANGE}
    assert shown(phone)[1:] == ("pending", "pending")
    phone.stream.faults.clear()
    phone.pass_time(120)
    phone.deliver()
    assert shown(phone) == ("applied", "applied", "applied")


@pytest.mark.parametrize("action", ["renewal", "of the app"])
def test_renewal_and_sign_out_of_everyone_reach_no_devices(phone, action):
    if action == "renewal":
        phone.revocations.renew("ada", CONTEXT)
    else:
        phone.revoke(None)
    phone.deliver()
    assert not {HINT, LIST, DELETE} & set(phone.routes())
    assert len(phone.stream.devices.of("ada")) == 2


def test_devices_stay_if_the_setting_keeps_them(phone):
    reaching(phone, ["hint"])
    suspend(phone)
    phone.deliver()
    assert phone.routes() == [CHANGE, HINT]
    assert len(phone.stream.devices.of("ada")) == 2


def test_hint_is_tried_three_times_and_then_given_up(phone):
    reaching(phone, ["hint"])
    phone.stream.fail_with(-1, HINT, times=None)
    suspend(phone)
    for _ in range(10):
        phone.deliver()
        phone.pass_time(60)
    assert len(phone.stream.calls.to(*HINT.split())) == HINT_TRIES
    assert shown(phone)[2] == "failed"
    assert phone.deliveries.warnings() == []


@pytest.fixture
def absent(world):
    """Return a world whose suspended ada has never connected."""
    reaching(world, REACH)
    suspend(world)
    world.deliver()
    assert shown(world) == ("absent", "absent", "absent")
    return world


def connect(absent):
    """Create ada at Stream with a token from before, and let the service ask for the user again."""
    absent.have("ada")
    add_devices(absent, "phone")
    absent.pass_time(10)


@on_both
def test_user_whom_a_token_from_before_creates_at_stream_is_reached_after_the_cut_off(absent):
    connect(absent)
    absent.deliver()
    assert shown(absent) == ("applied", "applied", "applied")
    assert absent.routes() == ["GET /users", CHANGE, HINT, LIST, DELETE]
    assert absent.stream.devices.of("ada") == []


@pytest.mark.parametrize("end", ["after each token has expired", "undo"])
def test_hint_and_devices_of_a_user_who_never_connects_end_with_the_cut_off(absent, end):
    if end == "undo":
        absent.revocations.reinstate("ada", CONTEXT)
        absent.undo("ada")
    absent.pass_time(OBSOLETE_AFTER + 60)
    absent.deliver()
    assert shown(absent) == ("obsolete", "obsolete", "obsolete")
    assert not {HINT, LIST}.intersection(absent.routes())


@on_both
@pytest.mark.parametrize("connects", ["before", "after"])
def test_undo_leaves_the_removal_that_an_earlier_action_on_an_absent_user_needs(absent, connects):
    if connects == "before":
        connect(absent)
        absent.sender.step()
    absent.pass_time(5)
    sign_out(absent)
    absent.revocations.reinstate("ada", CONTEXT)
    absent.undo("ada")
    absent.deliver()
    if connects == "after":
        connect(absent)
        absent.deliver()
    assert shown(absent) == ("applied", "applied", "applied")


def test_renewal_of_a_user_that_stream_does_not_have_lets_hint_and_devices_wait(absent):
    absent.renew("ada")
    absent.deliver()
    assert shown(absent) == ("absent", "absent", "absent")


@on_both
def test_result_of_a_removal_during_the_deletion_of_its_user_at_stream_changes_nothing(phone):
    """The cut-off is sent again meanwhile, and Stream lacks the user."""
    reaching(phone, ["devices"])
    suspend(phone)
    phone.sender.step()
    _, batch = phone.lease()
    phone.stream.app.users.clear()
    phone.deliveries.resend(["ada"], CONTEXT, app=False)
    phone.deliver(phone.another_sender())
    phone.sender._leases.finish(batch, {"ada": StreamResponse(CallStatus.ABSENT)})
    assert shown(phone)[:2] == ("absent", "absent")


def test_hint_and_devices_of_a_user_whom_stream_has_deleted_after_the_cut_off_end(phone):
    suspend(phone)
    phone.sender.step()
    phone.stream.app.users.clear()
    phone.deliver()
    assert shown(phone) == ("applied", "obsolete", "obsolete")


def test_removal_of_devices_is_tried_until_it_succeeds(phone):
    phone.stream.fail_with(-1, DELETE, times=4)
    suspend(phone)
    for _ in range(6):
        phone.deliver()
        phone.pass_time(60)
    assert shown(phone)[1] == "applied"
    assert phone.stream.devices.of("ada") == []


def test_device_that_goes_between_list_and_removal_counts_as_removed(phone):
    phone.stream.fail_with(16, DELETE, times=1)
    phone.stream.devices.delete = lambda *_: phone.stream.devices._of.clear()
    suspend(phone)
    phone.deliver()
    assert shown(phone)[1] == "applied"


def test_device_that_stream_does_not_remove_protects_no_other(phone):
    """A user can register a device with an ID that Stream does not accept later."""
    remove = phone.stream.devices.delete

    def refuse_the_phone(claims, user_id, device_id):
        if device_id == "phone":
            raise StreamError(4, "not a device")
        remove(claims, user_id, device_id)

    phone.stream.devices.delete = refuse_the_phone
    add_devices(phone, "watch")
    suspend(phone)
    for _ in range(3):
        phone.deliver()
        phone.pass_time(60)
    assert [device["id"] for device in phone.stream.devices.of("ada")] == ["phone"]
    assert shown(phone)[1] == "failed"


def test_device_whose_id_is_half_a_character_is_a_failure_and_protects_no_other(phone):
    phone.stream.devices.add("ada", "\ud800")
    suspend(phone)
    for _ in range(3):
        phone.deliver()
        phone.pass_time(60)
    assert [device["id"] for device in phone.stream.devices.of("ada")] == ["\ud800"]
    row = phone.row("devices", "ada")
    assert (row.state, row.last_error) == ("failed", "the ID of a device is not Unicode text")


def test_user_with_many_devices_lets_another_have_a_turn_after_each(phone):
    reaching(phone, ["devices"])
    add_devices(phone, "watch")
    phone.have("bob")
    phone.stream.devices.add("bob", "phone")
    for user_id in ("ada", "bob"):
        phone.revocations.suspend(user_id, CONTEXT)
        phone.pass_time(5)
    phone.deliver()
    removals = phone.stream.calls.to(*DELETE.split())
    assert [call.query["user_id"] for call in removals] == ["ada", "bob", "ada", "ada"]


@pytest.mark.parametrize("content", [{}, {"devices": None}])
def test_user_whose_list_of_devices_is_missing_has_none(phone, content):
    phone.stream.faults.respond(Response(200, {"duration": "1ms", **content}), LIST)
    suspend(phone)
    phone.deliver()
    assert shown(phone)[1] == "applied"


@pytest.mark.parametrize("devices", ["phone", [{"id": 7}], [None], {"id": "phone"}])
def test_list_of_devices_that_cannot_be_read_is_asked_for_again(phone, devices):
    reaching(phone, ["devices"])
    content = {"duration": "1ms", "devices": devices}
    phone.stream.faults.respond(Response(200, content), LIST)
    suspend(phone)
    phone.sender.step()
    phone.sender.step()
    row = phone.row("devices", "ada")
    assert (row.state, row.attempts) == ("pending", 1)
    assert "`devices`" in row.last_error
    phone.pass_time(60)
    phone.deliver()
    assert shown(phone)[1] == "applied"
    assert phone.stream.devices.of("ada") == []


@pytest.mark.parametrize("act", ["revoke_each", "renew"])
def test_cut_off_goes_before_each_call_to_clients_and_devices_that_waits(phone, act):
    """So does a renewal."""
    suspend(phone)
    phone.sender.step()
    for number in range(3):
        phone.have(f"u{number}")
        getattr(phone, act)(f"u{number}")
        phone.stream.calls.clear()
        phone.sender.step()
        assert phone.routes() == [CHANGE]
        phone.sender.step()
        assert {HINT, DELETE}.intersection(phone.routes()[1:])
    assert shown(phone) == ("applied", "applied", "applied")


def test_cut_off_does_not_wait_until_stream_takes_calls_for_clients_and_devices_again(phone):
    for route in (HINT, LIST):
        phone.stream.fail_with(9, route, times=None, retry_after=40)
    suspend(phone)
    phone.deliver()
    phone.have("bob")
    phone.revoke("bob")
    phone.sender.step()
    assert phone.state("user", "bob") == "applied"


def test_result_of_a_call_during_an_undo_does_not_bring_the_removal_back(phone):
    reaching(phone, ["devices"])
    sign_out(phone)
    phone.sender.step()
    _, batch = phone.lease()
    phone.undo("ada")
    refused = StreamResponse(CallStatus.KEY_REFUSED, "code 43")
    phone.sender._leases.finish(batch, {"ada": refused})
    assert phone.row("devices", "ada").state == "obsolete"


def test_result_after_another_sender_has_removed_the_devices_repeats_nothing(phone):
    """Devices that were registered since then stay."""
    reaching(phone, ["devices"])
    suspend(phone)
    phone.sender.step()
    _, batch = phone.lease()
    phone.pass_time(31)
    phone.deliver(phone.another_sender())
    phone.sender._leases.finish(batch, {"ada": StreamResponse(CallStatus.DONE)})
    assert shown(phone)[1] == "applied"


@on_both
def test_lost_lease_of_a_removal_goes_on_in_another_sender(phone):
    """A process that dies between two calls leaves its row leased."""
    reaching(phone, ["devices"])
    suspend(phone)
    phone.sender.step()
    assert phone.lease()[1].kind == "devices"
    phone.pass_time(31)
    phone.deliver(phone.another_sender())
    assert phone.stream.devices.of("ada") == []


def test_removal_that_is_done_is_neither_undone_nor_repeated(phone):
    """Devices that were registered since then stay, also if an operator sends the cut-off again."""
    sign_out(phone)
    phone.deliver()
    add_devices(phone, "laptop")
    phone.deliveries.resend(["ada"], CONTEXT, app=False)
    phone.undo("ada")
    phone.deliver()
    assert shown(phone) == ("applied", "applied", "applied")
    assert len(phone.stream.devices.of("ada")) == 1


def test_undone_action_removes_no_devices(phone):
    phone.stream.faults.refuse(CHANGE, times=None)
    sign_out(phone)
    phone.deliver()
    phone.undo("ada")
    phone.stream.faults.clear()
    phone.pass_time(120)
    phone.deliver()
    assert shown(phone) == ("applied", "obsolete", "obsolete")
    assert len(phone.stream.devices.of("ada")) == 2


@on_both
@pytest.mark.parametrize("was_removed", [False, True])
def test_undo_of_a_later_action_leaves_the_removal_of_an_earlier_one(phone, was_removed):
    """Unless that is done: devices that came after it stay."""
    sign_out(phone)
    phone.pass_time(5)
    if was_removed:
        phone.deliver()
        add_devices(phone, "new phone")
    sign_out(phone)
    phone.undo("ada")
    phone.deliver()
    assert shown(phone)[1] == ("obsolete" if was_removed else "applied")
    assert len(phone.stream.devices.of("ada")) == was_removed


def test_reinstatement_keeps_the_cut_off_and_so_stops_no_removal(phone):
    suspend(phone)
    phone.revocations.reinstate("ada", CONTEXT)
    phone.deliver()
    assert shown(phone) == ("applied", "applied", "applied")
    assert phone.stream.devices.of("ada") == []


def test_devices_that_wait_for_their_turn_are_no_warning(phone):
    """Stream's limit of removals is low: many suspensions take a while."""
    suspend(phone)
    phone.sender.step()
    phone.pass_time(3600)
    assert phone.deliveries.warnings() == []


def test_without_delivery_nothing_is_queued(database, clock):
    plain: Revocations = revocations_on(database, clock)
    plain.suspend("ada", CONTEXT)
    stream = plain.state(Target("ada")).stream
    assert stream.state == "pending"
    assert stream.devices is stream.notified

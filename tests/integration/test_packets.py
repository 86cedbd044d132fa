"""What a start with nothing to do sends over the network is counted (I4)."""

import pytest

from tests.support.database import Database
from tests.support.gate import run_gate
from tests.support.proxy import COM_QUERY, PacketReader
from tests.support.wire import Conversation, Wire

COM_QUIT = 0x01


def conversation_of_a_start_with_nothing_to_do(database: Database, parameters: str = "") -> Conversation:
    for _ in range(2):  # the second logs in from the server's cache, as all starts do from then on
        assert run_gate(env=database.env()).returncode == 0
    with Wire(database.server.host, database.server.port) as wire:
        ended = run_gate(env={"DATABASE_URL": wire.in_front_of(database).url + parameters})
    assert ended.returncode == 0, ended.stderr
    assert "nothing to do" in ended.stderr
    (conversation,) = wire.conversations
    return conversation


@pytest.mark.I4
def test_a_start_with_nothing_to_do_sends_a_login_one_query_and_a_goodbye(database: Database) -> None:
    conversation = conversation_of_a_start_with_nothing_to_do(database, "?ssl_disabled=true")
    login, query, goodbye = PacketReader().feed(conversation.sent_by("client"))
    assert database.user.encode() in login.payload
    assert (query.payload[0], goodbye.payload[0]) == (COM_QUERY, COM_QUIT)
    assert conversation.round_trips == 3


@pytest.mark.I4
def test_tls_costs_such_a_start_no_more_than_its_own_handshake(database: Database) -> None:
    conversation = conversation_of_a_start_with_nothing_to_do(database)
    assert b"SELECT" not in conversation.sent_by("client")
    assert conversation.round_trips <= 3 + 3

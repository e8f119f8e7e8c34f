"""The answer to a request waits for nothing that Triton may never say."""

import asyncio
import importlib
import sys
import threading
import types

import pytest

from tests.conftest import PROJECT

FINAL = 1


class Sender:
    """Stands for Triton's. `is_cancelled` answers with what it is made with, or never."""

    def __init__(self, answer):
        self.answer, self.asked, self.sent = answer, 0, []

    def is_cancelled(self):
        self.asked += 1
        return self.answer()

    def send(self, response=None, flags=0):
        self.sent.append((response, flags))


@pytest.fixture
def reply(monkeypatch):

    def described(*error):
        return error

    described.CANCELLED = "CANCELLED"
    triton = types.SimpleNamespace(
        TritonError=described,
        InferenceResponse=lambda error: error,
        TRITONSERVER_RESPONSE_COMPLETE_FINAL=FINAL,
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", triton)
    monkeypatch.syspath_prepend(PROJECT / "backends" / "avatar")
    monkeypatch.delitem(sys.modules, "front.reply", raising=False)
    yield importlib.import_module("front.reply")
    monkeypatch.delitem(sys.modules, "front.reply")


def request(sender):
    return types.SimpleNamespace(get_response_sender=lambda: sender)


async def test_a_client_that_has_gone_is_noticed(reply):
    sender = Sender(lambda: True)
    answer = reply.Reply(request(sender))
    assert answer.is_cancelled() is False, "nobody waits for the answer"
    assert await answer.was_cancelled()
    await answer.fail(reply.Cancelled())
    assert sender.sent == [(("the request was cancelled", "CANCELLED"), FINAL)]


async def test_triton_is_not_asked_for_every_frame(reply):
    sender = Sender(lambda: False)
    answer = reply.Reply(request(sender))
    for _ in range(20):
        answer.is_cancelled()
        await asyncio.sleep(reply.ASK_EVERY_S / 10)
    assert 1 < sender.asked <= 3


async def test_a_question_without_an_answer_does_not_keep_the_final_response(reply, monkeypatch):
    monkeypatch.setattr(reply, "ANSWERS_WITHIN_S", 0.05)
    never = threading.Event()
    sender = Sender(never.wait)
    answer = reply.Reply(request(sender))
    answer.is_cancelled()
    await asyncio.wait_for(answer.finish(), 1)
    assert sender.sent == [(None, FINAL)]
    never.set()


async def test_a_question_that_fails_does_not_cancel(reply):
    def fails():
        raise RuntimeError("the server stops")

    sender = Sender(fails)
    answer = reply.Reply(request(sender))
    answer.is_cancelled()
    assert not await answer.was_cancelled()
    await answer.finish()
    assert sender.sent == [(None, FINAL)]

"""The rules of a session, without a server."""

import numpy as np
import pytest
from avatar_client import AvatarClientError, Flow, SessionClosed, SessionOptions
from avatar_client.protocol import MAXIMUM_REQUESTS_IN_FLIGHT, SessionProtocol
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.client.fake_server import error, final, frame

RATE_HZ = 16_000


def begun(flow: Flow = Flow()) -> SessionProtocol:
    """A session whose start was accepted."""
    protocol = SessionProtocol(SessionOptions(), flow, model="avatar", session_id="s")
    protocol.receive(final(protocol.start().id), 0.0)
    assert protocol.next_received().final
    return protocol


def audio_of(requests) -> np.ndarray:
    return np.concatenate(
        [np.frombuffer(request.raw_input_contents[0], "<i2") for request in requests] or [np.zeros(0, "<i2")]
    )


def answer_all(protocol: SessionProtocol, requests) -> None:
    for request in requests:
        protocol.receive(final(request.id), 0.0)
    while protocol.next_received() is not None:
        pass


def drive(protocol: SessionProtocol) -> list:
    """Sends and answers until nothing is left, and checks the limits on the way."""
    sent = []
    while batch := list(protocol.requests()):
        sent += batch
        assert len(batch) <= MAXIMUM_REQUESTS_IN_FLIGHT + 2
        answer_all(protocol, batch)
    return sent


@settings(max_examples=60, deadline=None)
@given(
    chunks=st.lists(st.integers(0, 9000), max_size=20),
    ahead_s=st.floats(0.05, 2.0),
    share=st.floats(0.05, 1.0),
)
def test_any_chunking_sends_the_same_samples_within_the_limits(chunks, ahead_s, share):
    flow = Flow(max_ahead_s=ahead_s, max_chunk_s=ahead_s * share)
    protocol = begun(flow)
    samples = np.arange(sum(chunks)).astype(np.int16)
    position, sent = 0, []
    for size in chunks:
        protocol.push(samples[position : position + size])
        position += size
        sent += list(protocol.requests())
    protocol.end()
    sent += list(protocol.requests())
    answered = 0
    while answered < len(sent):
        assert audio_of(sent[answered:]).size <= max(1, round(ahead_s * RATE_HZ))
        protocol.receive(final(sent[answered].id), 0.0)
        while protocol.next_received() is not None:
            pass
        answered += 1
        sent += list(protocol.requests())
    np.testing.assert_array_equal(audio_of(sent), samples)
    assert max(len(r.raw_input_contents[0]) // 2 for r in sent) <= max(1, round(flow.max_chunk_s * RATE_HZ))
    assert [r.parameters["sequence_end"].bool_param for r in sent].count(True) == 1
    assert sent[-1].parameters["sequence_end"].bool_param
    assert not any(r.parameters["sequence_start"].bool_param for r in sent)
    assert protocol.finished


def test_the_first_request_starts_the_sequence_and_carries_the_options():
    protocol = SessionProtocol(SessionOptions(fps=25), Flow(), model="avatar", session_id="abc")
    request = protocol.start()
    assert request.parameters["sequence_start"].bool_param and not request.parameters["sequence_end"].bool_param
    assert request.parameters["sequence_id"].string_param == "abc"
    assert request.parameters["fps"].int64_param == 25
    assert list(request.inputs[0].shape) == [1, 0]


def test_tiny_chunks_are_joined_while_the_server_is_busy():
    protocol = begun()
    samples = np.arange(3000).astype(np.int16)
    sent = []
    for sample in samples:
        protocol.push(sample[None])
        sent += list(protocol.requests())
    assert len(sent) == MAXIMUM_REQUESTS_IN_FLIGHT
    answer_all(protocol, sent[:1])
    rest = drive(protocol)
    assert len(rest) == 1
    np.testing.assert_array_equal(audio_of(sent + rest), samples)


def test_a_long_chunk_is_sent_in_pieces_as_frames_are_taken():
    protocol = begun(Flow(max_ahead_s=0.5, max_chunk_s=0.1))
    protocol.push(np.zeros(10 * RATE_HZ, np.int16))
    first = list(protocol.requests())
    assert audio_of(first).size == 0.5 * RATE_HZ
    assert list(protocol.requests()) == []
    answer_all(protocol, first[:2])
    assert audio_of(list(protocol.requests())).size == 0.2 * RATE_HZ


def test_responses_that_overtook_are_put_back_in_order():
    protocol = begun()
    protocol.push(np.zeros(100, np.int16))
    first = next(iter(protocol.requests())).id
    protocol.push(np.zeros(100, np.int16))
    second = next(iter(protocol.requests())).id
    for response in (frame(first, 0), frame(second, 2), final(second), frame(first, 1), final(first)):
        protocol.receive(response, 0.0)
    taken = []
    while (received := protocol.next_received()) is not None:
        taken.append(received.frame.index if received.frame else "final")
    assert taken == [0, 1, "final", 2, "final"]
    assert not protocol.waiting


def test_an_interruption_drops_what_waits_and_what_was_on_its_way():
    protocol = begun(Flow(max_ahead_s=0.2, max_chunk_s=0.1))
    protocol.push(np.zeros(RATE_HZ, np.int16))
    old = list(protocol.requests())
    protocol.receive(frame(old[0].id, 0), 0.0)
    assert protocol.next_received().frame.index == 0
    assert protocol.played_s == pytest.approx(1 / 30)
    protocol.interrupt()
    protocol.push(np.ones(10, np.int16))
    new = list(protocol.requests())
    assert new[0].parameters["event"].string_param == "interrupt"
    for request in old:
        protocol.receive(frame(request.id, 1), 0.0)
        protocol.receive(final(request.id), 0.0)
    protocol.receive(frame(new[0].id, 2), 0.0)
    protocol.receive(final(new[0].id), 0.0)
    indices = []
    while (received := protocol.next_received()) is not None:
        if received.frame is not None:
            indices.append(received.frame.index)
    assert indices == [2]
    np.testing.assert_array_equal(audio_of(new), np.ones(10))


def test_an_interruption_keeps_an_end_that_was_asked_for_and_a_changed_emotion():
    protocol = begun(Flow(max_ahead_s=0.2, max_chunk_s=0.2))
    protocol.push(np.zeros(RATE_HZ, np.int16))
    list(protocol.requests())
    protocol.update({"emotion": "happy", "emotion_intensity": 0.5})
    protocol.end()
    protocol.interrupt()
    names = [set(request.parameters) - {"sequence_id", "sequence_start"} for request in protocol.requests()]
    assert ["emotion" in n for n in names] == [True, False, False]
    assert ["event" in n for n in names] == [False, True, False]
    assert protocol.end_sent


def test_nothing_may_follow_the_end():
    protocol = begun()
    protocol.end()
    protocol.end()
    assert len(list(protocol.requests())) == 1
    with pytest.raises(SessionClosed, match="after end"):
        protocol.push(np.zeros(1, np.int16))
    with pytest.raises(SessionClosed, match="after end"):
        protocol.update({"emotion": "happy"})
    protocol.interrupt()
    assert list(protocol.requests()) == []


def test_an_error_waits_for_the_frames_before_it():
    protocol = begun()
    protocol.push(np.zeros(10, np.int16))
    first = next(iter(protocol.requests())).id
    protocol.push(np.zeros(10, np.int16))
    second = next(iter(protocol.requests())).id
    protocol.receive(error(second, "stage motion failed: x"), 0.0)
    assert protocol.next_received() is None
    protocol.receive(frame(first, 0), 0.0)
    protocol.receive(final(first), 0.0)
    assert protocol.next_received().frame.index == 0
    assert protocol.next_received().final
    assert "motion" in str(protocol.next_received().error)


def test_an_error_that_names_no_request_is_raised_at_once():
    protocol = begun()
    with pytest.raises(AvatarClientError, match="broken"):
        protocol.receive(error("", "broken"), 0.0)


def test_the_queue_has_a_limit():
    protocol = begun(Flow(max_ahead_s=0.1, max_queued_s=1.0, max_chunk_s=0.1))
    protocol.push(np.zeros(RATE_HZ // 2, np.int16))
    assert protocol.has_room()
    protocol.push(np.zeros(RATE_HZ, np.int16))
    assert not protocol.has_room()
    drive(protocol)
    assert protocol.has_room()

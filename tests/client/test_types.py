import avatar_client
import pytest
from avatar_client import AvatarClient, Flow, InvalidRequest, SessionOptions
from avatar_client.wire import requested_tensors


def test_only_what_was_chosen_travels():
    assert SessionOptions().request_parameters() == {"sample_rate": 16000, "fps": 30, "encoding": "raw"}
    chosen = SessionOptions(
        avatar="anna", size=256, alpha=False, lookahead_ms=80, emotion="happy", emotion_intensity=1, seed=0
    )
    parameters = chosen.request_parameters()
    assert parameters["alpha"] is False and parameters["seed"] == 0 and parameters["avatar"] == "anna"
    assert isinstance(parameters["emotion_intensity"], float)


@pytest.mark.parametrize(
    ("options", "tensors"),
    [
        ({}, ("INDEX", "PTS", "FRAME", "AUDIO_OUT", "STATE")),
        ({"encoding": "jpeg"}, ("INDEX", "PTS", "PACKET", "AUDIO_OUT", "STATE")),
        ({"outputs": ("blendshapes",)}, ("INDEX", "PTS", "BLENDSHAPES")),
        ({"outputs": ["viseme", "viseme", "pose", "landmarks"]}, ("INDEX", "PTS", "VISEME", "POSE", "LANDMARKS")),
        ({"outputs": ("face_mesh",)}, ("INDEX", "PTS", "FACE_MESH")),
        ({"outputs": ()}, ("INDEX", "PTS")),
    ],
)
def test_outputs_name_tensors(options, tensors):
    assert requested_tensors(SessionOptions(**options)) == tensors


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sample_rate_hz": 7999}, "8000 to 48000, got 7999"),
        ({"sample_rate_hz": 16000.0}, "must be an int"),
        ({"fps": 0}, "fps must be positive"),
        ({"fps": True}, "must be an int"),
        ({"encoding": "gif"}, "raw, jpeg, h264, got 'gif'"),
        ({"outputs": "image"}, "sequence of names"),
        ({"outputs": ("image", "depth")}, "got 'depth'"),
    ],
)
def test_options_are_refused_by_name(options, words):
    with pytest.raises(InvalidRequest, match=words):
        SessionOptions(**options)


@pytest.mark.parametrize("limits", [{"max_ahead_s": 0}, {"max_queued_s": -1}, {"max_chunk_s": 1.0}])
def test_flow_limits_are_refused_by_name(limits):
    with pytest.raises(InvalidRequest, match=next(iter(limits))):
        Flow(**limits)


@pytest.mark.parametrize("address", ["localhost", "http://localhost:8001", "localhost:http", ":8001"])
def test_addresses_must_be_host_and_port(address):
    with pytest.raises(InvalidRequest, match="host:port"):
        AvatarClient(address)


def test_everything_exported_exists():
    assert all(hasattr(avatar_client, name) for name in avatar_client.__all__)

"""Many short sessions, most of them faulty, leave the server as it was; `benchmarks/faults.py` runs thousands."""

from dataclasses import fields

import pytest
from avatar_server.gateway import Gateway, GatewayConfig
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import InvalidParameterError
from avatar.session_config import InStream, SessionConfig
from benchmarks.faults import BAD_REQUESTS, soak


@pytest.mark.slow
def test_faulty_sessions(toy_server):
    config = GatewayConfig("127.0.0.1:0", toy_server.grpc_address, slow_client_s=2.0)
    with Gateway(config) as gateway:
        outcome = soak(f"127.0.0.1:{gateway.port}", toy_server, count=400)
        assert gateway.streams == 0
    assert outcome.tally.well_failed == [] and outcome.tally.well > 50
    assert outcome.tally.unclear == []
    assert set(outcome.tally.kinds) > set(BAD_REQUESTS)
    assert outcome.left_open == 0
    assert outcome.after.shm_mib == outcome.before.shm_mib
    # Allocators go up and down by so much; ten thousand sessions tell more.
    assert outcome.after.pss_mib < outcome.before.pss_mib + 40
    assert toy_server.failure is None


VALUES = st.one_of(st.text(max_size=80), st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans())
NAMES = st.one_of(
    st.sampled_from(["sample_rate", *(field.name for field in fields(SessionConfig))]), st.text(max_size=20)
)


@settings(deadline=None, max_examples=500)
@given(parameters=st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_parameters_give_a_configuration_or_a_reason(parameters):
    for read in (SessionConfig.from_parameters, InStream.from_parameters, InStream.of):
        try:
            read(parameters)
        except InvalidParameterError as error:
            assert len(str(error)) > 20

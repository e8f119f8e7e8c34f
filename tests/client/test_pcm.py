import numpy as np
import pytest
from avatar_client import InvalidAudio
from avatar_client.pcm import to_int16
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


@given(arrays(np.int16, st.integers(0, 50)))
def test_int16_passes_unchanged_as_array_and_as_bytes(samples):
    np.testing.assert_array_equal(to_int16(samples), samples)
    for raw in (samples.tobytes(), bytearray(samples.tobytes()), memoryview(samples.tobytes())):
        np.testing.assert_array_equal(to_int16(raw), samples)


@given(arrays(np.int16, st.integers(0, 50)), st.sampled_from([np.float32, np.float64]))
def test_float_is_the_inverse_of_division_by_32768(samples, dtype):
    np.testing.assert_array_equal(to_int16(samples.astype(dtype) / 32768), samples)


def test_peaks_beyond_full_scale_are_clipped():
    np.testing.assert_array_equal(to_int16(np.array([1.0, 1.5, -1.5], np.float32)), [32767, 32767, -32768])


def test_the_result_does_not_alias_the_callers_buffer():
    samples = np.arange(4, dtype=np.int16)
    converted = to_int16(samples)
    samples[:] = 0
    np.testing.assert_array_equal(converted, [0, 1, 2, 3])


def test_strided_and_list_input():
    np.testing.assert_array_equal(to_int16(np.arange(10, dtype=np.int16)[::3]), [0, 3, 6, 9])
    assert to_int16([]).size == 0


@pytest.mark.parametrize(
    ("pcm", "words"),
    [
        pytest.param(np.array([0, np.nan], np.float32), "nan at sample 1", id="nan"),
        pytest.param(np.array([-np.inf, 0], np.float64), "-inf at sample 0", id="infinity"),
        pytest.param(np.zeros((4, 2), np.int16), r"shape \[4, 2\]", id="stereo"),
        pytest.param(np.int16(3), r"shape \[\]", id="scalar"),
        pytest.param(np.zeros(4, np.int32), "int32", id="int32"),
        pytest.param(np.zeros(4, np.uint8), "uint8", id="8-bit"),
        pytest.param(b"\0\0\0", "3 bytes", id="half-a-sample"),
        pytest.param(np.array([12000.0, -3.0]), "peak of 12000", id="int16-scaled-float"),
    ],
)
def test_unusable_samples_are_refused_by_name(pcm, words):
    with pytest.raises(InvalidAudio, match=words):
        to_int16(pcm)

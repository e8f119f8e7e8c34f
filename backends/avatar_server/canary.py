"""One tiny session through the whole pipeline, which tells what Triton's health checks do not.

Triton 2.51 reports a server as ready although the process of a model has died; a session through all stages notices.
"""

import queue
import uuid
from dataclasses import dataclass

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

AUDIO_MS = 100
SAMPLE_RATE_HZ = 16_000
FRAMES = 3


@dataclass(frozen=True, slots=True)
class Health:
    """Attributes:
    ok: whether the server can make frames, now or once a session ends.
    detail: what was found.
    """

    ok: bool
    detail: str


def probe(address: str, timeout_s: float = 10.0, admin_key: str | None = None) -> Health:
    """Asks the server at `address` for the frames of 100 ms of silence; the key is for a Triton behind a gateway."""
    requests: queue.SimpleQueue = queue.SimpleQueue()
    requests.put(_request())
    frames = 0
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        # The stream stays open until the answer is complete: closing it early would cancel the session.
        metadata = (("triton-grpc-protocol-admin-key", admin_key),) if admin_key else ()
        call = stub.ModelStreamInfer(iter(requests.get, None), timeout=timeout_s, metadata=metadata)
        try:
            for message in call:
                if message.error_message:
                    # A server whose places are all taken is healthy.
                    return Health("sessions at once" in message.error_message, message.error_message)
                frames += bool(message.infer_response.outputs)
                if message.infer_response.parameters["triton_final_response"].bool_param:
                    break
        except grpc.RpcError as error:
            is_full = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            return Health(is_full, error.details() or error.code().name)
        finally:
            requests.put(None)
    if frames != FRAMES:
        return Health(False, f"{AUDIO_MS} ms of audio must give {FRAMES} frames, got {frames}; see the server's log")
    return Health(True, f"{frames} frames")


def _request() -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="avatar", id="canary")
    request.parameters["sequence_id"].string_param = f"canary-{uuid.uuid4().hex}"
    request.parameters["sequence_start"].bool_param = True
    request.parameters["sequence_end"].bool_param = True
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    samples = AUDIO_MS * SAMPLE_RATE_HZ // 1000
    request.inputs.add(name="AUDIO", datatype="INT16", shape=[1, samples])
    request.raw_input_contents.append(bytes(2 * samples))
    request.outputs.add(name="FRAME")
    return request

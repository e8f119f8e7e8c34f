"""A session of the server's own, straight to Triton: whole audio in, all responses out. Not counted as a client's."""

import queue
import uuid
from collections.abc import Iterator

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

SAMPLE_RATE_HZ = 16_000


def responses(
    address: str, pcm: bytes, timeout_s: float, admin_key: str | None = None
) -> Iterator[service_pb2.ModelStreamInferResponse]:
    """Yields what the server at `address` answers, up to the final response; closing the iterator ends the session.

    Args:
        pcm: int16, little-endian, 16 kHz.
        admin_key: for a Triton behind a gateway.

    Raises:
        grpc.RpcError: the server cannot be reached, refuses, or is not done within `timeout_s`.
    """
    requests: queue.SimpleQueue = queue.SimpleQueue()
    requests.put(_request(pcm))
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        # The stream stays open until the answer is complete: closing it early would cancel the session.
        metadata = (("triton-grpc-protocol-admin-key", admin_key),) if admin_key else ()
        call = stub.ModelStreamInfer(iter(requests.get, None), timeout=timeout_s, metadata=metadata)
        try:
            for message in call:
                yield message
                if message.infer_response.parameters["triton_final_response"].bool_param:
                    break
        finally:
            requests.put(None)
            call.cancel()


def _request(pcm: bytes) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="avatar", id="canary")
    request.parameters["sequence_id"].string_param = f"canary-{uuid.uuid4().hex}"
    request.parameters["sequence_start"].bool_param = True
    request.parameters["sequence_end"].bool_param = True
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    request.inputs.add(name="AUDIO", datatype="INT16", shape=[1, len(pcm) // 2])
    request.raw_input_contents.append(pcm)
    request.outputs.add(name="FRAME")
    return request

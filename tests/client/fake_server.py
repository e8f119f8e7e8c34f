"""An in-process gRPC server that misbehaves on demand: what no healthy Triton can be made to do."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

Request = service_pb2.ModelInferRequest
Response = service_pb2.ModelStreamInferResponse
Behavior = Callable[[Iterator[Request], grpc.ServicerContext], Iterable[Response]]


class FakeServer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Serves `behavior` as the stream; keeps every request it saw. A context manager."""

    def __init__(self, behavior: Behavior, ready: bool = True, credentials: grpc.ServerCredentials | None = None):
        self.requests: list[Request] = []
        self._behavior = behavior
        self._ready = ready
        self._server = grpc.server(ThreadPoolExecutor(max_workers=8))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        if credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"

    def ModelReady(self, request, context):
        return service_pb2.ModelReadyResponse(ready=self._ready)

    def ModelStreamInfer(self, request_iterator, context):
        yield from self._behavior(self._noting(request_iterator), context)

    def stop(self) -> None:
        self._server.stop(grace=0).wait()

    def __enter__(self) -> "FakeServer":
        self._server.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def _noting(self, requests: Iterator[Request]) -> Iterator[Request]:
        for request in requests:
            self.requests.append(request)
            yield request


def frame(request_id: str, index: int, fps: int = 30, **tensors: np.ndarray) -> Response:
    """One frame's response; further tensors by name, without their batch axis."""
    values = {"INDEX": np.array([index], np.int64), "PTS": np.array([index / fps]), **tensors}
    names = {"int64": "INT64", "float64": "FP64", "uint8": "UINT8", "int16": "INT16", "float32": "FP32"}
    response = Response()
    response.infer_response.id = request_id
    response.infer_response.parameters["triton_final_response"].bool_param = False
    for name, value in values.items():
        response.infer_response.outputs.add(name=name, datatype=names[value.dtype.name], shape=[1, *value.shape])
        response.infer_response.raw_output_contents.append(value.tobytes())
    return response


def final(request_id: str) -> Response:
    """The empty last response of a request."""
    response = Response()
    response.infer_response.id = request_id
    response.infer_response.parameters["triton_final_response"].bool_param = True
    return response


def error(request_id: str, message: str) -> Response:
    """What Triton sends for a request that failed."""
    response = Response(error_message=message)
    response.infer_response.id = request_id
    return response


def is_end(request: Request) -> bool:
    return request.parameters["sequence_end"].bool_param


def answers_everything(requests: Iterator[Request], context) -> Iterator[Response]:
    """Accepts all and makes no frame."""
    for request in requests:
        yield final(request.id)


def swallows_all_but_the_first(requests: Iterator[Request], context) -> Iterator[Response]:
    """Accepts the session and is not heard of again; its END is lost."""
    yield final(next(requests).id)
    for _ in requests:
        pass


def frees_a_place(request: Request, of: Request) -> bool:
    """Whether it ends the session that `of` opened, even where Triton has forgotten it."""
    flags = ("sequence_start", "sequence_end")
    return (
        all(request.parameters[name].bool_param for name in flags)
        and request.parameters["event"].string_param == "close"
        and request.parameters["sequence_id"] == of.parameters["sequence_id"]
    )

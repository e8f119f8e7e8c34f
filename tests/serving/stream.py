"""One gRPC stream to the `avatar` model, close to the wire: tests see every response and every status code."""

import queue
import threading
import time
import uuid
from dataclasses import dataclass

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

DTYPES = {"UINT8": np.uint8, "INT16": np.int16, "INT64": np.int64, "FP32": np.float32, "FP64": np.float64}


@dataclass(frozen=True)
class Response:
    """Attributes:
    request: id of the request that it answers, empty where Triton gives none.
    tensors: without the batch axis.
    is_final: whether it is the last of its request.
    error: message, None if there is none.
    at_s: monotonic time of arrival.
    """

    request: str
    tensors: dict
    is_final: bool
    error: str | None
    at_s: float


class Stream:
    """A session on a stream of its own."""

    def __init__(
        self, address: str, session: int | str | None = None, model: str = "avatar", metadata=(), credentials=None
    ):
        self.session = session or uuid.uuid4().hex
        self.responses: list[Response] = []
        self.code: grpc.StatusCode | None = None
        self.details: str | None = None
        self._model = model
        self._requests: queue.Queue = queue.Queue()
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, credentials, options)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._call = stub.ModelStreamInfer(iter(self._requests.get, None), metadata=metadata)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(
        self, pcm=(), name="0", start=False, end=False, parameters=None, outputs=("INDEX",), shape=None, dtype=np.int16
    ):
        """One request of `pcm` [N]."""
        pcm = np.asarray(pcm, dtype)
        request = service_pb2.ModelInferRequest(model_name=self._model, id=name)
        kind = "string_param" if isinstance(self.session, str) else "int64_param"
        setattr(request.parameters["sequence_id"], kind, self.session)
        request.parameters["sequence_start"].bool_param = start
        request.parameters["sequence_end"].bool_param = end
        request.parameters["triton_enable_empty_final_response"].bool_param = True
        for key, value in (parameters or {}).items():
            field = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}[type(value)]
            setattr(request.parameters[key], field, value)
        datatype = {np.int16: "INT16", np.float32: "FP32"}[dtype]
        request.inputs.add(name="AUDIO", datatype=datatype, shape=shape or [1, pcm.size])
        request.raw_input_contents.append(pcm.tobytes())
        for output in outputs:
            request.outputs.add(name=output)
        self._requests.put(request)

    def wait(self, finals: int, timeout_s: float = 60.0) -> list[Response]:
        """All responses once `finals` requests are answered."""
        self.wait_until(
            lambda: sum(response.is_final for response in self.responses) >= finals or self.code is not None, timeout_s
        )
        return list(self.responses)

    def wait_until(self, condition, timeout_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise TimeoutError(
                    f"got {[(r.request, r.is_final, r.error) for r in self.responses[-5:]]}, {self.code}"
                )
            time.sleep(0.002)

    def frames(self, request: str | None = None) -> list[dict]:
        return [r.tensors for r in self.responses if r.tensors and request in (None, r.request)]

    def finals(self) -> list[str]:
        return [response.request for response in self.responses if response.is_final]

    def cancel(self) -> None:
        self._call.cancel()
        self._channel.close()

    def close(self) -> None:
        self._requests.put(None)
        self._reader.join(timeout=10)
        self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close() if kind is None else self.cancel()

    def _read(self):
        try:
            for message in self._call:
                self.responses.append(_understood(message))
        except grpc.RpcError as error:
            self.code, self.details = error.code(), error.details()


def _understood(message) -> Response:
    response = message.infer_response
    tensors = {
        output.name: np.frombuffer(content, DTYPES[output.datatype]).reshape(output.shape)[0]
        for output, content in zip(response.outputs, response.raw_output_contents, strict=True)
    }
    error = message.error_message or None
    is_final = bool(error) or response.parameters["triton_final_response"].bool_param
    return Response(response.id, tensors, is_final, error, time.monotonic())

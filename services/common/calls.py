"""What happens to every call before and after a service's own code: one interceptor.

Validation by the protos' rules, request ids, a deadline for callers that set none, errors as `google.rpc.Status`,
metrics, traces and one log line for what nobody expected. Handlers are wrapped once and kept.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import grpc
from boarfish.errors import (
    BoarfishError,
    DeadlineExceeded,
    FieldViolation,
    Internal,
    InvalidArgument,
    Unimplemented,
    to_status,
)
from boarfish.validation import validate
from google.protobuf.message import DecodeError
from opentelemetry import trace
from opentelemetry.propagate import extract

from services.common import telemetry

logger = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
MAX_REQUEST_ID_LENGTH = 128


class _Malformed:
    """Stands in for a message whose bytes could not be read."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Wraps every handler of a server. `default_deadline_s` holds for unary calls whose caller set none."""

    def __init__(self, service: str, *, default_deadline_s: float, traced: bool) -> None:
        self._service = service
        self._default_deadline_s = default_deadline_s
        self._tracer = trace.get_tracer("boarfish") if traced else None
        self._wrapped: dict[str, grpc.RpcMethodHandler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """The wrapped handler of the called method; what gRPC answers for a method that no one serves."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None or method.startswith(("/grpc.health.", "/grpc.reflection.")):
                return handler
            wrapped = self._wrapped[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> grpc.RpcMethodHandler:
        deserializer, serializer = _tolerant(handler.request_deserializer), handler.response_serializer
        around = _Around(self._service, method, self._tracer)
        if handler.request_streaming and handler.response_streaming:
            streaming = _answer_stream(around, handler.stream_stream, _checked_stream)
            return grpc.stream_stream_rpc_method_handler(streaming, deserializer, serializer)
        if handler.response_streaming:
            streaming = _answer_stream(around, handler.unary_stream, _checked)
            return grpc.unary_stream_rpc_method_handler(streaming, deserializer, serializer)
        if handler.request_streaming:
            unary = _answer_once(around, handler.stream_unary, _checked_stream, None)
            return grpc.stream_unary_rpc_method_handler(unary, deserializer, serializer)
        unary = _answer_once(around, handler.unary_unary, _checked, self._default_deadline_s)
        return grpc.unary_unary_rpc_method_handler(unary, deserializer, serializer)


class _Around:
    """Counts, times, traces and names the calls of one method."""

    def __init__(self, service: str, method: str, tracer: trace.Tracer | None) -> None:
        self.method = method
        self._service = service
        self._tracer = tracer
        self._latency = telemetry.LATENCY.labels(service, method)
        self._codes: dict[str, Any] = {}

    def begin(self, context: grpc.aio.ServicerContext) -> str:
        """The call's request id: the caller's, or a new one."""
        given = ""
        for key, value in context.invocation_metadata() or ():
            if key == REQUEST_ID:
                given = value
                break
        current = given if 0 < len(given) <= MAX_REQUEST_ID_LENGTH else uuid.uuid4().hex
        telemetry.request_id.set(current)
        return current

    def span(self, context: grpc.aio.ServicerContext) -> AbstractContextManager[Any]:
        """A span that continues the caller's trace; nothing when tracing is off."""
        if self._tracer is None:
            return nullcontext()
        carrier = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        return self._tracer.start_as_current_span(
            self.method, context=extract(carrier), kind=trace.SpanKind.SERVER, record_exception=False
        )

    def end(self, code: str, began: float) -> None:
        """Notes how the call ended."""
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = telemetry.CALLS.labels(self._service, self.method, code)
        counter.inc()
        self._latency.observe(time.perf_counter() - began)

    async def refuse(self, error: BaseException, context: grpc.aio.ServicerContext, request_id: str) -> str:
        """Ends the call with what `error` means to the caller; the code's name. Raises gRPC's abort."""
        meant = self._meaning(error, request_id)
        trailing = (
            ("grpc-status-details-bin", to_status(meant).SerializeToString()),
            (REQUEST_ID, request_id),
        )
        await context.abort(meant.code, meant.message, trailing)
        raise AssertionError("abort returned")

    def _meaning(self, error: BaseException, request_id: str) -> BoarfishError:
        if isinstance(error, BoarfishError):
            return error
        if isinstance(error, NotImplementedError):
            return Unimplemented(
                f"{self.method} is not implemented in this version of Boarfish.", reason="NOT_IMPLEMENTED"
            )
        if isinstance(error, TimeoutError):
            return DeadlineExceeded(f"{self.method} did not finish in time.")
        logger.error("unexpected error", exc_info=error, extra={"method": self.method})
        return Internal(
            f"Something went wrong that was not foreseen. The log knows it as request {request_id}."
        )


def _answer_once(
    around: _Around,
    behaviour: Callable[..., Awaitable[Any]],
    check: Callable[[Any], Any],
    deadline_s: float | None,
) -> Callable[[Any, Any], Awaitable[Any]]:
    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        began = time.perf_counter()
        request_id = around.begin(context)
        code = "OK"
        with around.span(context):
            try:
                checked = check(request)
                if deadline_s is not None and context.time_remaining() is None:
                    async with asyncio.timeout(deadline_s):
                        return await behaviour(checked, context)
                return await behaviour(checked, context)
            except (asyncio.CancelledError, grpc.aio.AbortError):
                code = "CANCELLED"
                raise
            except Exception as error:
                code = _code_name(error)
                await around.refuse(error, context, request_id)
            finally:
                around.end(code, began)

    return answer


def _answer_stream(
    around: _Around, behaviour: Callable[..., AsyncIterator[Any]], check: Callable[[Any], Any]
) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def answer(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        began = time.perf_counter()
        request_id = around.begin(context)
        code = "OK"
        with around.span(context):
            try:
                answers = behaviour(check(request), context)
                if not hasattr(answers, "__aiter__"):  # a generated servicer's method that nobody filled in
                    await answers  # type: ignore[misc]
                async for message in answers:
                    yield message
            except (asyncio.CancelledError, grpc.aio.AbortError, GeneratorExit):
                code = "CANCELLED"
                raise
            except Exception as error:
                code = _code_name(error)
                await around.refuse(error, context, request_id)
            finally:
                around.end(code, began)

    return answer


def _code_name(error: Exception) -> str:
    return error.code.name if isinstance(error, BoarfishError) else type(error).__name__


def _checked(request: Any) -> Any:
    if type(request) is _Malformed:
        raise InvalidArgument.of(
            FieldViolation("", f"the bytes are not a message of this method: {request.error}")
        )
    validate(request)
    return request


async def _checked_stream(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(request)


def _tolerant(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Reads a message; bytes that are none become `_Malformed`, so that the caller hears INVALID_ARGUMENT and not INTERNAL."""

    def read(data: bytes) -> Any:
        try:
            return deserializer(data)
        except (DecodeError, UnicodeDecodeError) as error:
            return _Malformed(error)

    return read

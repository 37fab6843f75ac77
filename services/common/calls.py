"""What happens to every call before and after a service's own code.

Validation by the protos' rules, request ids, a bound on calls at once, a deadline for callers that set none,
errors as `google.rpc.Status`, metrics, traces and one log line for what nobody expected. Handlers are wrapped
once, when they are added to the server, and not by a gRPC interceptor: that way gRPC looks up the wrapped
handler by itself and a call pays for no chain.
"""

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

import grpc
from boarfish.errors import (
    BoarfishError,
    DeadlineExceeded,
    FieldViolation,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
    shortened,
    to_status,
)
from boarfish.validation import validate
from google.protobuf.message import DecodeError
from opentelemetry import trace
from sqlalchemy.exc import DBAPIError

from services.common import telemetry
from services.common.settings import Settings
from services.common.storage import storage_error
from services.common.streams import OpenStreams, Requests

logger = logging.getLogger(__name__)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

REQUEST_ID = "x-request-id"
MAX_REQUEST_ID_LENGTH = 128
RETRY_AFTER_S = 0.5


class _Malformed:
    """Stands in for a message whose bytes could not be read."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Calls(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """The wrapped handlers of one server, under the paths that gRPC looks them up by."""

    def __init__(self, service: str, settings: Settings) -> None:
        self.streams = OpenStreams()
        self._service = service
        self._settings = settings
        self._tracer = trace.get_tracer("boarfish") if settings.otlp_endpoint else None
        self._unary_calls = _Bound(settings.max_concurrent_calls)
        self._stream_calls = _Bound(settings.max_concurrent_calls)
        self._handlers: dict[str, Handler] = {}
        self._unknown = self._refusing()

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Takes what a generated `add_..._to_server` offers to a server."""
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            self._handlers[method] = self._wrap(method, name, handler)

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """The other form in which a generated `add_..._to_server` offers the same methods: known already."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """The handler of the called method; one that refuses when no one serves it."""
        return self._handlers.get(handler_call_details.method, self._unknown)

    def _wrap(self, method: str, name: str, handler: Any) -> Handler:
        deserializer, serializer = _tolerant(handler.request_deserializer), handler.response_serializer
        bound = (
            self._stream_calls
            if handler.request_streaming or handler.response_streaming
            else self._unary_calls
        )
        around = _Method(self._service, method, self._tracer, bound, self._settings)
        if handler.request_streaming and handler.response_streaming:
            streaming = _answer_both_ways(around, handler.stream_stream, self.streams)
            return grpc.stream_stream_rpc_method_handler(streaming, deserializer, serializer)
        if handler.response_streaming:
            endless = self.streams if name.startswith("Watch") else None
            streaming = _answer_stream(around, handler.unary_stream, endless)
            return grpc.unary_stream_rpc_method_handler(streaming, deserializer, serializer)
        if handler.request_streaming:
            unary = _answer_once(around, handler.stream_unary, _checked_stream, None)
            return grpc.stream_unary_rpc_method_handler(unary, deserializer, serializer)
        unary = _answer_once(around, handler.unary_unary, _checked, self._settings.default_deadline_s)
        return grpc.unary_unary_rpc_method_handler(unary, deserializer, serializer)

    def _refusing(self) -> Handler:
        unknown = _Method(self._service, "unknown", None, self._stream_calls, self._settings)

        async def refuse(_: Any, context: Context) -> AsyncIterator[bytes]:
            async with _Call(unknown, context):
                raise Unimplemented(
                    "This server has no such method. Is the address that of the right service?",
                    reason="UNKNOWN_METHOD",
                )
            yield b""

        return grpc.stream_stream_rpc_method_handler(refuse)


class _Bound:
    """How many calls of one kind are in hand, and how many may be."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0


class _Method:
    """One method of one server: what its calls have in common."""

    def __init__(
        self, service: str, path: str, tracer: trace.Tracer | None, bound: _Bound, settings: Settings
    ) -> None:
        self.service = service
        self.path = path
        self.tracer = tracer
        self.bound = bound
        self.home = settings.home
        self.latency = telemetry.LATENCY.labels(service, path)
        self._counters: dict[grpc.StatusCode, Any] = {}

    def counter(self, code: grpc.StatusCode) -> Any:
        """Counts the calls that ended with `code`."""
        counter = self._counters.get(code)
        if counter is None:
            counter = self._counters[code] = telemetry.CALLS.labels(self.service, self.path, code.name)
        return counter

    def stopping(self) -> Unavailable:
        """What the caller of a stream hears that was ended because the server stops."""
        return Unavailable(
            f"{self.service} is stopping.", retry_after_s=RETRY_AFTER_S, reason="SERVER_STOPPING"
        )

    def meaning(self, error: BaseException, request_id: str) -> BoarfishError:
        """What `error` is to the caller. One that nobody expected is logged and its insides are kept back."""
        if isinstance(error, BoarfishError):
            if error.code is grpc.StatusCode.INTERNAL:
                logger.error("internal error", exc_info=error, extra={"method": self.path})
            return error
        if isinstance(error, NotImplementedError):
            return Unimplemented(
                f"{self.path} is not implemented in this version of Boarfish.", reason="NOT_IMPLEMENTED"
            )
        if isinstance(error, TimeoutError):
            return DeadlineExceeded(f"{self.path} did not finish in time.")
        if isinstance(error, OSError | sqlite3.Error | DBAPIError):
            meant = storage_error(error, _folder_of(error, self.home))
            if meant is not None:
                logger.warning("storage failed", exc_info=error, extra={"method": self.path})
                return meant
        logger.error("unexpected error", exc_info=error, extra={"method": self.path})
        return Internal(
            f"Something went wrong that was not foreseen. The log knows it as request {request_id}."
        )


class _Call:
    """Around one call: names, bounds, traces, counts and times it, and ends it with what its error means.

    `endless` is where a stream is noted that a stop must end, as it does not end by itself.
    """

    __slots__ = ("_began", "_context", "_endless", "_method", "_request_id", "_span", "_task")

    def __init__(self, method: _Method, context: Context, endless: OpenStreams | None = None) -> None:
        self._method = method
        self._context = context
        self._endless = endless
        self._task: asyncio.Task[Any] | None = None
        self._span: AbstractContextManager[Any] | None = None

    async def __aenter__(self) -> None:
        if (refusal := self.begin()) is not None:
            await self.refuse(refusal)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        await self.end(error)

    def begin(self) -> BoarfishError | None:
        """Starts the clock; what the call must be ended with at once, if anything."""
        method, context = self._method, self._context
        self._began = time.perf_counter()
        received = context.invocation_metadata() or ()
        given = ""
        for key, value in received:
            if key == REQUEST_ID:
                given = str(value)
                break
        if not 0 < len(given) <= MAX_REQUEST_ID_LENGTH:
            given = f"{random.getrandbits(128):032x}"
        self._request_id = given
        telemetry.request_id.set(given)
        context.set_trailing_metadata(((REQUEST_ID, given),))
        if method.tracer is not None:
            self._span = telemetry.server_span(method.tracer, method.path, given, received)
            self._span.__enter__()
        method.bound.count += 1
        if method.bound.count > method.bound.limit:
            return ResourceExhausted(
                f"{method.service} has {method.bound.limit} calls in hand and takes no more just now.",
                retry_after_s=RETRY_AFTER_S,
                reason="TOO_MANY_CALLS",
            )
        if self._endless is not None:
            if self._endless.stopping:
                return method.stopping()
            self._task = self._endless.enter()
        return None

    async def end(self, error: BaseException | None) -> None:
        """Ends the call: well, or with what `error` means. Raises gRPC's `AbortError` then."""
        if error is None:
            self.end_well()
        elif isinstance(error, grpc.aio.AbortError):
            self._end(_code_of(self._context))
        elif isinstance(error, asyncio.CancelledError) and self._was_ended():
            await self.refuse(self._method.stopping())
        elif isinstance(error, Exception):
            await self.refuse(self._method.meaning(error, self._request_id))
        else:
            self._end(grpc.StatusCode.CANCELLED)

    def end_well(self) -> None:
        """Ends an answered call."""
        self._end(grpc.StatusCode.OK)

    def _was_ended(self) -> bool:
        return self._endless is not None and self._task is not None and self._endless.was_ended(self._task)

    async def refuse(self, error: BoarfishError) -> None:
        """Ends the call with `error`. Raises gRPC's `AbortError`."""
        self._end(error.code)
        status = to_status(error)
        trailing = (("grpc-status-details-bin", status.SerializeToString()), (REQUEST_ID, self._request_id))
        await self._context.abort(error.code, status.message, trailing)

    def _end(self, code: grpc.StatusCode) -> None:
        method = self._method
        method.bound.count -= 1
        if self._task is not None and self._endless is not None:
            self._endless.leave(self._task)
        took_s = time.perf_counter() - self._began
        method.counter(code).inc()
        method.latency.observe(took_s)
        if logger.isEnabledFor(logging.DEBUG):
            extra = {"method": method.path, "code": code.name, "took_s": round(took_s, 6)}
            logger.debug("call", extra=extra)
        if self._span is not None:
            telemetry.end_server_span(code)
            self._span.__exit__(None, None, None)


def _answer_once(
    method: _Method,
    behaviour: Callable[..., Coroutine[Any, Any, Any]],
    check: Callable[[Any], Any],
    deadline_s: float | None,
) -> Callable[[Any, Any], Coroutine[Any, Any, Any]]:
    async def answer(request: Any, context: Context) -> Any:
        call = _Call(method, context)
        refusal = call.begin()
        if refusal is not None:
            await call.refuse(refusal)
        try:
            checked = check(request)
            if deadline_s is not None and context.time_remaining() is None:
                answered = await _within(deadline_s, behaviour(checked, context))
            else:
                answered = await behaviour(checked, context)
        except BaseException as error:
            await call.end(error)
            raise
        call.end_well()
        return answered

    return answer


async def _within(deadline_s: float, work: Coroutine[Any, Any, Any]) -> Any:
    """What `work` returns; `TimeoutError` once it took too long. The clock is set when `work` first waits:
    most predictions never do, and a clock costs more than all else that is done around them.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        return done.value
    async with asyncio.timeout(deadline_s):
        return await _Rest(work, waits_for)


class _Rest:
    """A coroutine that was begun by hand and waits for `waits_for`, to be awaited to its end."""

    def __init__(self, work: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        work, waits_for = self._work, self._waits_for
        try:
            while True:
                try:
                    value = yield waits_for
                except BaseException as error:
                    waits_for = work.throw(error)
                else:
                    waits_for = work.send(value)
        except StopIteration as done:
            return done.value


def _answer_stream(
    method: _Method, behaviour: Callable[..., AsyncIterator[Any]], endless: OpenStreams | None
) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
        async with _Call(method, context, endless):
            async for message in _messages(behaviour(_checked(request), context)):
                yield message

    return answer


def _answer_both_ways(
    method: _Method, behaviour: Callable[..., AsyncIterator[Any]], streams: OpenStreams
) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def answer(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        async with _Call(method, context):
            taken = Requests(requests, streams)
            async for message in _messages(behaviour(_checked_stream(taken), context)):
                yield message
            if taken.cut:
                raise method.stopping()

    return answer


async def _messages(answers: Any) -> AsyncIterator[Any]:
    """The messages of a streaming behaviour: a generator, or a coroutine that calls `context.write`."""
    if not hasattr(answers, "__aiter__"):
        await answers
        return
    async for message in answers:
        yield message


def _code_of(context: Context) -> grpc.StatusCode:
    """The code that a service gave to `context.abort` by itself."""
    value = context.code()
    return _CODES.get(value, grpc.StatusCode.UNKNOWN) if isinstance(value, int) else value


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _folder_of(error: BaseException, home: Path) -> Path:
    name = error.filename if isinstance(error, OSError) else None
    return Path(name).parent if isinstance(name, str) else home


def _checked(request: Any) -> Any:
    if type(request) is _Malformed:
        text = shortened(str(request.error), 200)
        raise InvalidArgument.of(FieldViolation("", f"the bytes are not a message of this method: {text}"))
    validate(request)
    return request


async def _checked_stream(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(request)


def _tolerant(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Reads a message. Bytes that are none become `_Malformed`: INVALID_ARGUMENT then, and not INTERNAL."""

    def read(data: bytes) -> Any:
        try:
            return deserializer(data)
        except (DecodeError, UnicodeDecodeError) as error:
            return _Malformed(error)

    return read

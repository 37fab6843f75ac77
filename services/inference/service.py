"""InferenceService: predictions and deployments over gRPC."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from boarfish.v1 import inference_pb2, inference_pb2_grpc

from services.common import pages
from services.inference.deployments import Deployments
from services.inference.prediction import Predictor
from services.inference.spool import Spool

STREAM_IN_FLIGHT = 4


class InferenceService(inference_pb2_grpc.InferenceServiceServicer):
    """Answers the RPCs of `boarfish.v1.InferenceService`; those of later versions stay UNIMPLEMENTED."""

    def __init__(self, deployments: Deployments, predictor: Predictor, spool: Spool) -> None:
        self._deployments = deployments
        self._predictor = predictor
        self._spool = spool

    async def Predict(
        self, request: inference_pb2.PredictRequest, context: Any
    ) -> inference_pb2.PredictResponse:
        return await self._predictor.predict(
            self._deployments.get(request.deployment),
            request,
            patient=False,
            timeout_s=context.time_remaining(),
        )

    async def PredictStream(
        self, request_iterator: AsyncIterator[inference_pb2.PredictStreamRequest], context: Any
    ) -> AsyncIterator[inference_pb2.PredictStreamResponse]:
        """Computes a few requests at once and answers in their order; a failed one ends the stream after
        those before it.
        """
        under_way: asyncio.Queue[
            asyncio.Task[inference_pb2.PredictResponse] | inference_pb2.PredictResponse | None
        ] = asyncio.Queue(STREAM_IN_FLIGHT)

        async def take_in() -> None:
            try:
                async for message in request_iterator:
                    request = message.request
                    short = self._predictor.is_short(self._deployments.get(request.deployment), request)
                    answer = self._predict_patiently(request, context)
                    await under_way.put(await answer if short else asyncio.create_task(answer))
            finally:
                await under_way.put(None)

        reader = asyncio.create_task(take_in())
        try:
            while (entry := await under_way.get()) is not None:
                answer = await entry if isinstance(entry, asyncio.Task) else entry
                yield inference_pb2.PredictStreamResponse(response=answer)
            await reader
        finally:
            reader.cancel()
            while not under_way.empty():
                if isinstance(entry := under_way.get_nowait(), asyncio.Task):
                    entry.cancel()

    async def _predict_patiently(
        self, request: inference_pb2.PredictRequest, context: Any
    ) -> inference_pb2.PredictResponse:
        return await self._predictor.predict(
            self._deployments.get(request.deployment),
            request,
            patient=True,
            timeout_s=context.time_remaining(),
        )

    async def CreateDeployment(
        self, request: inference_pb2.CreateDeploymentRequest, context: Any
    ) -> inference_pb2.CreateDeploymentResponse:
        live = await self._deployments.create(request)
        return inference_pb2.CreateDeploymentResponse(deployment=live.to_proto(self._spool))

    async def GetDeployment(
        self, request: inference_pb2.GetDeploymentRequest, context: Any
    ) -> inference_pb2.GetDeploymentResponse:
        live = self._deployments.get(request.name)
        return inference_pb2.GetDeploymentResponse(deployment=live.to_proto(self._spool))

    async def ListDeployments(
        self, request: inference_pb2.ListDeploymentsRequest, context: Any
    ) -> inference_pb2.ListDeploymentsResponse:
        start = pages.position_of(request, request.page_token) or 0
        end = start + pages.page_size(request.page_size)
        everything = self._deployments.all()
        return inference_pb2.ListDeploymentsResponse(
            deployments=[live.to_proto(self._spool) for live in everything[start:end]],
            next_page_token=pages.next_token(request, end if end < len(everything) else None),
        )

"""Alert streams: newest state wins, deployments are told apart, the number is bounded, stopping ends them."""

import asyncio

import pytest
from boarfish.errors import ResourceExhausted
from boarfish.v1 import monitoring_pb2

from services.monitoring.subscriptions import Subscriptions


def alert(name: str, deployment: str = "a", title: str = "") -> monitoring_pb2.Alert:
    return monitoring_pb2.Alert(id=name, deployment=deployment, title=title)


async def test_a_slow_reader_gets_the_newest_state_of_each_alert() -> None:
    subscriptions = Subscriptions(10)
    subscription = subscriptions.open("")
    subscriptions.publish([alert("1", title="old"), alert("2"), alert("1", title="new")])
    first, second = await subscription.next(), await subscription.next()
    assert first is not None
    assert second is not None
    assert [first.id, second.id, second.title] == ["2", "1", "new"]


async def test_a_reader_is_told_of_its_deployment_alone() -> None:
    subscriptions = Subscriptions(10)
    subscription = subscriptions.open("b")
    subscriptions.publish([alert("1", "a"), alert("2", "b")])
    told = await subscription.next()
    assert told is not None
    assert told.id == "2"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(subscription.next(), 0.01)


async def test_more_than_the_limit_is_refused_until_one_is_closed() -> None:
    subscriptions = Subscriptions(1)
    first = subscriptions.open("")
    with pytest.raises(ResourceExhausted):
        subscriptions.open("")
    subscriptions.close(first)
    subscriptions.open("")


async def test_ending_lets_a_waiting_reader_go() -> None:
    subscriptions = Subscriptions(1)
    waiting = asyncio.create_task(subscriptions.open("").next())
    await asyncio.sleep(0)
    subscriptions.end()
    assert await asyncio.wait_for(waiting, 1) is None

"""A running network on a broker: commands in, replies, states and events out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import SystemRandom
from types import TracebackType
from typing import TYPE_CHECKING, Self

from paho.mqtt.client import MQTTMessage

from linkem_py.control.mqtt.backoff import Backoff
from linkem_py.control.mqtt.connection import Terms
from linkem_py.control.mqtt.inbound import Answer, Backlog, Refusal, answer_to, understand
from linkem_py.control.mqtt.outbox import Outgoing
from linkem_py.control.mqtt.session import Session
from linkem_py.control.mqtt.states import States
from linkem_py.control.mqtt.url import MqttUrl
from linkem_py.control.station import Station
from linkem_py.control.wire import json
from linkem_py.control.wire.commands import Command
from linkem_py.control.wire.events import Event, Missed, Notice, Refused
from linkem_py.control.wire.replies import Problem, Reply
from linkem_py.control.wire.states import LinkCounters, LinkRate
from linkem_py.control.wire.topics import PREFIX, Topics, network_name_of
from linkem_py.errors import RequestError
from linkem_py.model import LinkKey
from linkem_py.runtime.processes import to_the_end

if TYPE_CHECKING:
    from linkem_py.runtime import Network

_log = logging.getLogger("linkem_py.mqtt")

_ROUND = 100  # retained topics that are published before the broker is asked whether it keeps up
# While commands wait for their replies, telling states and events gets one part of the time in so many.
_SHARE_OF_STATES = 5
_SHARE_OF_EVENTS = 3


class MqttControl:
    """Put a running network on an MQTT broker: ``async with MqttControl(net, "mqtt://host:1883")``.

    Topics are ``<prefix>/<name>/...``; see docs/mqtt.md. When it is entered, the retained topics are
    there. While the broker is away the network goes on, and what was not answered is answered later. At
    the end every retained topic is cleared, and the broker forgets the session.

    Parameters
    ----------
    net : the network, running; or any `Station`
    url : ``mqtt://``, ``mqtts://``, ``ws://`` or ``wss://``, see `MqttUrl.parse`
    prefix : of every topic
    name : the network's level in them; its own by default, made fit for a topic
    stats_interval_s : how often counters are published; None for never
    username, password, password_file, ca, cert, key : as in `MqttUrl.parse`, if `url` is text
    backoff : waits between attempts to reconnect
    timeout_s : bound of one attempt to connect
    keepalive_s : a connection that is silent for longer is lost
    session_expiry_s : how long a broker of MQTT 5 keeps commands for us while we are away
    closing_s : how long the end may take for telling the broker

    Raises `RequestError` for a wrong argument; `ControlError`, when entered, if the broker cannot be reached.
    """

    def __init__(
        self,
        net: Network | Station,
        url: str | MqttUrl,
        *,
        prefix: str = PREFIX,
        name: str | None = None,
        stats_interval_s: float | None = None,
        username: str | None = None,
        password: str | None = None,
        password_file: str | Path | None = None,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        backoff: Backoff | None = None,
        timeout_s: float = 5.0,
        keepalive_s: int = 30,
        session_expiry_s: int = 3600,
        closing_s: float = 5.0,
    ) -> None:
        if stats_interval_s is not None and not stats_interval_s > 0:
            raise RequestError("stats_interval_s", "must be greater than 0", stats_interval_s)
        if isinstance(url, str):
            url = MqttUrl.parse(
                url, username=username, password=password, password_file=password_file, ca=ca, cert=cert, key=key
            )
        self.url = url
        self.prefix, self.name = prefix, name
        Topics(prefix, name if name is not None else "any")  # a wrong one is found before anything is touched
        self._net = net
        self._stats_interval_s = stats_interval_s
        self._backoff = backoff or Backoff()
        self._timeout_s, self._keepalive_s, self._session_expiry_s = timeout_s, keepalive_s, session_expiry_s
        self._closing_s = closing_s
        self._station: Station
        self._topics: Topics
        self._session: Session | None = None
        self._states: States
        self._backlog = Backlog(self._acknowledge)
        self._answered = asyncio.Event()  # something was, or the session came or went
        self._running: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()
        self._state = "new"

    # --- life ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise RuntimeError(f"an MqttControl is entered once; this one is {self._state}")
        self._state = "starting"
        async with AsyncExitStack() as stack:
            stack.callback(self._ended)
            self._station = await self._enter_station(stack)
            events = await stack.enter_async_context(self._station.events())
            description = await self._station.describe()
            self._topics = Topics(self.prefix, self.name or network_name_of(description.name))
            self.name = self._topics.network
            self._states = States(self._topics, description)
            self._session = self._new_session()
            await self._session.start()
            # What a run of this name that died has left there comes before the first states are told.
            left = self._topics.link(("+", "+", "+"))
            await self._session.subscribe_to(left)
            self._running = asyncio.create_task(self._run(events), name=f"linkem MQTT of {self.name}")
            self._running.add_done_callback(self._stopped)
            self._state = "running"
            stack.push_async_callback(self._leave, self._session, self._running)
            await self._first_states(self._running)
            await self._session.unsubscribe_from(left)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End; twice is harmless. Raises what went wrong inside, if anything did."""
        await to_the_end(asyncio.ensure_future(self._stack.aclose()))

    def __repr__(self) -> str:
        return f"<MqttControl of {self.name!r} {self._state}: {self._session!r}>"

    @property
    def topics(self) -> Topics:
        """The topics of this network; once it was entered."""
        return self._topics

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker now."""
        return self._session is not None and self._session.connection is not None

    @property
    def protocol(self) -> str:
        """The version of MQTT that is spoken: ``5``, ``3.1.1``, or empty before the first connection."""
        version = None if self._session is None else self._session.version
        return "" if version is None else {5: "5", 4: "3.1.1"}[int(version)]

    # --- parts of a life -----------------------------------------------------------------------

    async def _enter_station(self, stack: AsyncExitStack) -> Station:
        from linkem_py.runtime.network import Network

        if not isinstance(self._net, Network):
            return self._net
        from linkem_py.control.local import LocalStation

        return await stack.enter_async_context(LocalStation(self._net, name=self.name))

    def _new_session(self) -> Session:
        terms = Terms(
            url=self.url,
            identifier=f"linkem-{self._topics.network}-{secrets.token_hex(6)}",
            will_topic=self._topics.status,
            will_payload=b"offline",
            expiry_s=self._session_expiry_s,
            keepalive_s=self._keepalive_s,
            timeout_s=self._timeout_s,
        )
        return Session(
            terms,
            self._topics.subscriptions(),
            on_message=self._came,
            on_connected=self._connected,
            on_disconnected=self._disconnected,
            backoff=self._backoff,
            random=SystemRandom(),
        )

    async def _run(self, events: AsyncIterator[Event]) -> None:
        assert self._session is not None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._session.run())
            tasks.create_task(self._watch(events))
            tasks.create_task(self._tell_states(self._session))
            if self._stats_interval_s is not None:
                tasks.create_task(self._tell_stats(self._session, self._stats_interval_s))

    async def _first_states(self, running: asyncio.Task[None]) -> None:
        """Wait until the broker has been told everything once; not for ever, if it goes away meanwhile."""
        told = asyncio.ensure_future(self._states.all_told())
        try:
            await asyncio.wait([told, running], timeout=2 * self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()

    async def _leave(self, session: Session, running: asyncio.Task[None]) -> None:
        self._state = "closing"
        try:
            # If it is away already, it will hardly be back in the next moment.
            async with asyncio.timeout(self._closing_s if self.connected else min(1.0, self._closing_s)):
                await self._take_leave(session, running)
        except TimeoutError:
            _log.warning("the MQTT broker at %s could not be told that %s has ended", self.url, self.name)
        finally:
            running.cancel()
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    await running
            finally:
                await session.end(timeout_s=self._timeout_s)

    async def _take_leave(self, session: Session, running: asyncio.Task[None]) -> None:
        """What is to be said at the end, as long as there is somebody who can say it."""
        while self._backlog and not running.done():
            self._answered.clear()
            await self._answered.wait()
        self._states.remove_all()
        session.post(Outgoing(topic=self._topics.status, payload=b"offline"))
        said = [asyncio.ensure_future(self._states.all_told()), asyncio.ensure_future(session.flush())]
        try:
            for what in said:
                await asyncio.wait([what, running], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for what in said:
                what.cancel()

    def _stopped(self, running: asyncio.Task[None]) -> None:
        if not running.cancelled() and (error := running.exception()) is not None:
            _log.error("the control of %s over MQTT has failed; the network goes on", self.name, exc_info=error)

    def _ended(self) -> None:
        self._state = "closed"

    # --- the connection ------------------------------------------------------------------------

    def _connected(self) -> None:
        assert self._session is not None
        self._states.restore()
        if dropped := self._session.replies.take_dropped():
            self._notice(f"{dropped} replies were dropped while the broker was away")
        if missed := self._session.passing.take_dropped():
            self._tell(Missed(at=time.time(), count=missed))

    def _disconnected(self) -> None:
        self._backlog.disconnected()

    def _acknowledge(self, message: MQTTMessage) -> None:
        if self._session is not None:
            self._session.acknowledge(message)

    # --- commands and replies ------------------------------------------------------------------

    def _came(self, message: MQTTMessage) -> None:
        """A message is here: decide at once, answer later. What it raises would end the connection, so nothing."""
        try:
            self._decide(message)
        except Exception:
            _log.exception("a message could not be handled")
            self._backlog.passed(message)

    def _decide(self, message: MQTTMessage) -> None:
        topic = message.topic
        if message.retain:
            self._pass_over(topic)
            return self._backlog.passed(message)
        understood = understand(self._topics, topic, bytes(message.payload))
        if isinstance(understood, Refusal):
            self._refuse(understood, answer_to(message))
            return self._backlog.passed(message)
        if understood is None:
            return self._backlog.passed(message)
        if self._state == "closing":
            error = Problem(message="the network is ending: no more commands are taken", kind="ControlError")
            self._refuse(Refusal(understood.id, error), answer_to(message))
            return self._backlog.passed(message)
        future = asyncio.ensure_future(self._station.submit(understood))
        self._backlog.entered(message)
        future.add_done_callback(partial(self._settle, message, understood))
        return None

    def _pass_over(self, topic: str) -> None:
        """What is retained is from before."""
        heard = self._topics.parse(topic)
        if heard is not None and heard.kind == "link":
            self._states.clear_foreign(topic)
        else:
            self._notice(f"a retained message on {topic} was ignored: it is from before; commands are not retained")

    def _settle(self, message: MQTTMessage, command: Command, future: asyncio.Future[Reply]) -> None:
        self._backlog.left(message)
        self._answered.set()
        if future.cancelled():
            return
        if (error := future.exception()) is None:
            self._reply(future.result(), answer_to(message))
        else:
            if not isinstance(error, ConnectionError):
                _log.error("a command failed in a way that nobody foresaw", exc_info=error)
            text = str(error) if isinstance(error, ConnectionError) else json.problem_of(error).message
            self._refuse(Refusal(command.id, Problem(message=text, kind=type(error).__name__)), answer_to(message))

    def _refuse(self, refusal: Refusal, answer: Answer | None) -> None:
        self._tell(Refused(at=time.time(), error=refusal.error, id=refusal.id))
        revision = self._states.revision
        self._reply(Reply(ok=False, id=refusal.id, revision=revision, error=refusal.error), answer)

    def _reply(self, reply: Reply, answer: Answer | None) -> None:
        assert self._session is not None
        if reply.id is None and answer is None:
            return
        payload = json.dump(json.reply_json(reply))
        topic = None if reply.id is None else self._topics.reply(reply.id)
        if topic is not None and (answer is None or answer.topic != topic):
            self._session.post(Outgoing(topic=topic, payload=payload))
        if answer is not None:
            self._session.post(Outgoing(topic=answer.topic, payload=payload, correlation=answer.correlation))

    # --- events, states, counters --------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        assert self._session is not None
        payload = json.dump(json.event_json(event))
        self._session.post(Outgoing(topic=self._topics.event, payload=payload, qos=0))

    def _notice(self, text: str) -> None:
        self._tell(Notice(at=time.time(), message=text))

    async def _watch(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            began = time.perf_counter()
            self._tell(event)
            if self._states.note(event):
                self._states.describe(await self._station.describe(), everything=isinstance(event, Missed))
            await self._give_way(time.perf_counter() - began, _SHARE_OF_EVENTS)
        if self._state == "running":
            # The network has ended before we were told to.
            self._states.put_offline()

    async def _tell_states(self, session: Session) -> None:
        while True:
            await self._states.something_to_tell()
            await session.until_connected()
            began = time.perf_counter()
            messages = self._states.take(_ROUND)
            if not messages:
                continue
            taken = session.publish_round(messages)
            used = time.perf_counter() - began
            if await taken:
                self._states.told(messages)
            else:
                self._states.put_back(messages)
            await self._give_way(used, _SHARE_OF_STATES)

    async def _tell_stats(self, session: Session, interval_s: float) -> None:
        before: dict[LinkKey, LinkCounters] = {}
        due = time.monotonic()
        while True:
            try:
                counters = await self._station.counters()
            except (ConnectionError, RuntimeError):
                return  # the network has ended
            rates = [LinkRate.between(before.get(now.link), now) for now in counters]
            before = {now.link: now for now in counters}
            await session.publish_passing(
                (self._topics.stats(rate.counters.link), json.dump(json.stats_json(rate))) for rate in rates
            )
            due = max(due + interval_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _give_way(self, used_s: float, share: int) -> None:
        """Let others go first: a moment, or, while commands wait, until this was one part in so many."""
        await asyncio.sleep(used_s * (share - 1) if self._backlog else 0)

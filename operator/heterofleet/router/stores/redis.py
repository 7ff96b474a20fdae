"""A server of the Redis protocol, for several routers: what one writes all see.

Every change is one Lua script, which the server runs alone, and which may be run twice: a batch of spend carries its
router's number, a review has one outcome. Keys begin with `heterofleet:NAMESPACE:FLEET:`.

    epoch                   random; a server that lost its data has another one, and is read anew
    version, changed        counts batches; tenants by the version of their last change
    spend:TENANT            BUCKET:u nano-USD, BUCKET:t tokens
    batch:ROUTER            number of its last batch
    routers                 routers by the time of their last read
    answer:KEY              a cached answer
    review:ID, reviews      summary, detail, outcome; those that wait, by their deadline

Imported only where such a server is configured: redis-py takes 25 MB.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import redis.asyncio as client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError

from heterofleet.router.budget import BUCKET_SECONDS, BUCKETS, Spent
from heterofleet.router.stores import KEPT_SECONDS, PRESENT_SECONDS, Batch, Held, Totals, Unreachable

TIMEOUT_SECONDS: Final = 1.0
CACHE_TIMEOUT_SECONDS: Final = 0.05
"""What a request waits for a cached answer at most: about what a small model takes for its first token."""

_SPEND_SECONDS: Final = BUCKET_SECONDS * (BUCKETS + 1)

_Argument = str | bytes | int | float

_ADD_SPEND: Final = """
local prefix, router, number, oldest, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
redis.call('SET', prefix .. 'epoch', ARGV[6], 'NX')
if tonumber(redis.call('GET', prefix .. 'batch:' .. router) or 0) >= number then return 0 end
local version = redis.call('INCR', prefix .. 'version')
for i = 7, #ARGV, 4 do
  local key = prefix .. 'spend:' .. ARGV[i]
  redis.call('HINCRBY', key, ARGV[i + 1] .. ':u', ARGV[i + 2])
  redis.call('HINCRBY', key, ARGV[i + 1] .. ':t', ARGV[i + 3])
  redis.call('EXPIRE', key, ttl)
  redis.call('ZADD', prefix .. 'changed', version, ARGV[i])
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if tonumber(string.match(field, '^%d+')) < oldest then redis.call('HDEL', key, field) end
  end
end
redis.call('SET', prefix .. 'batch:' .. router, number, 'EX', ttl)
return 1
"""

_READ_SPEND: Final = """
local prefix, epoch, seen, router = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
redis.call('SET', prefix .. 'epoch', ARGV[7], 'NX')
local present = redis.call('GET', prefix .. 'epoch')
local version = tonumber(redis.call('GET', prefix .. 'version') or 0)
if present ~= epoch or version < seen then seen = -1 end
redis.call('ZADD', prefix .. 'routers', ARGV[5], router)
redis.call('ZREMRANGEBYSCORE', prefix .. 'routers', '-inf', ARGV[6])
local spent = {}
for _, tenant in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'changed', '(' .. seen, '+inf')) do
  local fields = redis.call('HGETALL', prefix .. 'spend:' .. tenant)
  if #fields == 0 then redis.call('ZREM', prefix .. 'changed', tenant) end
  spent[#spent + 1] = {tenant, fields}
end
return {present, version, seen, redis.call('ZCARD', prefix .. 'routers'), spent}
"""

_REVIEW_PUT: Final = """
local prefix, id, deadline, most, now = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
if redis.call('EXISTS', prefix .. 'review:' .. id) == 1 then return 1 end
redis.call('ZREMRANGEBYSCORE', prefix .. 'reviews', '-inf', now)
if redis.call('ZCARD', prefix .. 'reviews') >= most then return 0 end
redis.call('HSET', prefix .. 'review:' .. id, 'summary', ARGV[7], 'detail', ARGV[8])
redis.call('EXPIRE', prefix .. 'review:' .. id, ARGV[6])
redis.call('ZADD', prefix .. 'reviews', deadline, id)
return 1
"""

_REVIEW_SETTLE: Final = """
local prefix, id = ARGV[1], ARGV[2]
local key = prefix .. 'review:' .. id
if redis.call('EXISTS', key) == 0 then return false end
redis.call('HSETNX', key, 'outcome', ARGV[3])
redis.call('ZREM', prefix .. 'reviews', id)
return redis.call('HGET', key, 'outcome')
"""


class _PasswordFile(CredentialProvider):
    """The password as the mounted Secret says it at each new connection, so that it may be rotated."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get_credentials(self) -> tuple[str]:
        return (self._path.read_text().strip(),)


class RedisStore:
    """A Store on the server at `host`:`port`; connects when it is first used, and again whenever it must."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        namespace: str,
        fleet: str,
        tls: bool = False,
        password_file: Path | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        cache_timeout_seconds: float = CACHE_TIMEOUT_SECONDS,
    ) -> None:
        self._prefix = f"heterofleet:{namespace}:{fleet}:"
        self._timeout_seconds, self._cache_timeout_seconds = timeout_seconds, cache_timeout_seconds
        self._client = client.Redis(
            host=host,
            port=port,
            ssl=tls,
            credential_provider=_PasswordFile(password_file) if password_file is not None else None,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            # Once more at once: the connections of a server that was restarted are found dead when they are used.
            retry=Retry(NoBackoff(), 1),
        )
        self._add_spend = self._client.register_script(_ADD_SPEND)
        self._read_spend = self._client.register_script(_READ_SPEND)
        self._put = self._client.register_script(_REVIEW_PUT)
        self._settle = self._client.register_script(_REVIEW_SETTLE)

    @property
    def shared(self) -> bool:
        return True

    async def add_spend(self, batch: Batch) -> None:
        spends: list[_Argument] = [
            value for tenant, bucket, spent in batch.spends for value in (tenant, bucket, spent.nano_usd, spent.tokens)
        ]
        epoch = secrets.token_hex(8)
        head: list[_Argument] = [self._prefix, batch.router, batch.number, batch.oldest, _SPEND_SECONDS, epoch]
        async with _within(self._timeout_seconds):
            await self._add_spend(args=[*head, *spends])

    async def read_spend(self, cursor: str, *, router: str, now: float) -> Totals:
        epoch, _, seen = cursor.partition(":")
        since = now - PRESENT_SECONDS
        args = [self._prefix, epoch, seen or -1, router, now, since, secrets.token_hex(8)]
        async with _within(self._timeout_seconds):
            present, version, read_from, routers, spent = await self._read_spend(args=args)
        totals = {tenant.decode(): _buckets(fields) for tenant, fields in spent}
        return Totals(f"{present.decode()}:{version}", read_from < 0, routers, totals)

    async def cache_get(self, key: bytes) -> bytes | None:
        async with _within(self._cache_timeout_seconds):
            found: Any = await self._client.get(f"{self._prefix}answer:{key.hex()}")
        return found if isinstance(found, bytes) else None

    async def cache_put(self, key: bytes, value: bytes, *, ttl_seconds: float) -> None:
        async with _within(self._timeout_seconds):
            await self._client.set(f"{self._prefix}answer:{key.hex()}", value, px=max(1, round(ttl_seconds * 1000)))

    async def review_put(self, held: Held, *, deadline: float, most: int, now: float) -> bool:
        ttl = max(1, round(deadline - now + KEPT_SECONDS))
        args: list[_Argument] = [self._prefix, held.id, deadline, most, now, ttl, held.summary, held.detail]
        async with _within(self._timeout_seconds):
            return bool(await self._put(args=args))

    async def review_list(self, now: float) -> Sequence[bytes]:
        async with _within(self._timeout_seconds):
            ids: Any = await self._client.zrangebyscore(f"{self._prefix}reviews", f"({now}", "+inf")
            summaries = await self._fields((id.decode() for id in ids), "summary")
        return [summary for summary in summaries if summary is not None]

    async def review_get(self, id: str) -> Held | None:
        async with _within(self._timeout_seconds):
            found: Any = await self._client.hmget(self._review(id), ["summary", "detail", "outcome"])
        summary, detail, outcome = found
        return None if summary is None or detail is None else Held(id, summary, detail, outcome)

    async def review_settle(self, id: str, outcome: bytes) -> bytes | None:
        async with _within(self._timeout_seconds):
            standing: bytes | None = await self._settle(args=[self._prefix, id, outcome])
        return standing

    async def review_outcomes(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        async with _within(self._timeout_seconds):
            outcomes = await self._fields(ids, "outcome")
        return {id: outcome for id, outcome in zip(ids, outcomes, strict=True) if outcome is not None}

    async def review_remove(self, id: str) -> None:
        async with _within(self._timeout_seconds), self._client.pipeline(transaction=True) as pipeline:
            pipeline.delete(self._review(id))
            pipeline.zrem(f"{self._prefix}reviews", id)
            await pipeline.execute()

    async def close(self) -> None:
        await self._client.aclose()

    def _review(self, id: str) -> str:
        return f"{self._prefix}review:{id}"

    async def _fields(self, ids: Iterable[str], field: str) -> list[bytes | None]:
        """One field of many reviews in one exchange."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for id in ids:
                pipeline.hget(self._review(id), field)
            found: list[bytes | None] = await pipeline.execute()
        return found


def _buckets(fields: Sequence[bytes]) -> dict[int, Spent]:
    """What a hash of spend holds, as its names and values one after the other."""
    values = dict(zip(fields[::2], map(int, fields[1::2]), strict=True))
    numbers = {int(name.partition(b":")[0]) for name in values}
    return {n: Spent(values.get(b"%d:u" % n, 0), values.get(b"%d:t" % n, 0)) for n in sorted(numbers)}


@contextlib.asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """Everything that can go wrong on the way to a server is one thing here: it cannot be reached."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (RedisError, OSError, TimeoutError) as exc:
        raise Unreachable(f"the store does not answer: {type(exc).__name__} {exc}".rstrip()) from exc

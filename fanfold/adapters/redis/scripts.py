"""Scripts, each of which the server runs as one step: no write of another client comes between its commands.

`form.py` has the form of what is kept: it begins with a letter and a stamp, in a list the last element does. The client loads the scripts on each
new connection.

A key may hold a value of another type, written by another program. Reading it is then an error, after which a script goes on (`pcall`): the
value counts as absent, and is replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha1

from fanfold.adapters.redis.link import Command


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the name by which a server that has loaded it calls it."""

    text: str
    name: str = field(init=False)

    def __post_init__(self) -> None:
        name = sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "name", name)

    def call(self, keys: Sequence[str], *arguments: bytes | int) -> Command:
        return ("EVALSHA", self.name, len(keys), *keys, *arguments)


# In: keys, then stamp, lease, milliseconds. Out: for each key 1 if it is leased now, or what is kept in this stamp.
LEASE = Script("""
local answers = {}
for i, key in ipairs(KEYS) do
  local kept = redis.pcall('GET', key)
  if type(kept) == 'string' and string.sub(kept, 2, 1 + #ARGV[1]) == ARGV[1] then
    answers[i] = kept
  else
    redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
    answers[i] = 1
  end
end
return answers
""")

# In: keys, then milliseconds, the leases, the values. Out: for each key 1 if its lease still held, else 0.
FILL = Script("""
local held = {}
for i, key in ipairs(KEYS) do
  held[i] = 0
  if redis.pcall('GET', key) == ARGV[1 + i] then
    redis.call('SET', key, ARGV[1 + #KEYS + i], 'PX', ARGV[1])
    held[i] = 1
  end
end
return held
""")

# In: a key, then stamp, lease, milliseconds. Out: 1 if it is leased now, 0 if somebody else has the lease, or the list.
LEASE_FEED = Script("""
local last = redis.pcall('LINDEX', KEYS[1], -1)
if type(last) == 'string' and string.sub(last, 2, 1 + #ARGV[1]) == ARGV[1] then
  if string.sub(last, 1, 1) == 'L' then return 0 end
  return redis.call('LRANGE', KEYS[1], 0, -1)
end
if last then redis.call('UNLINK', KEYS[1]) end
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")

# In: a key, then milliseconds, the last element as known, the new last element, entries. Out: 1, or 0 if the last element is another.
# A call takes some 8,000 arguments at most.
APPEND = Script("""
if redis.pcall('LINDEX', KEYS[1], -1) ~= ARGV[2] then return 0 end
redis.call('RPOP', KEYS[1])
for i = 4, #ARGV, 1000 do
  redis.call('RPUSH', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('RPUSH', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
""")

# In: a key, then milliseconds, the last element as known. Out: nothing. A lease that came meanwhile must not live on.
PROLONG = Script("""
if redis.call('LINDEX', KEYS[1], -1) == ARGV[2] then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
""")

# In: keys, then the longest list, entries. Out: nothing.
PUSH = Script("""
local longest = tonumber(ARGV[1])
for i = 1, #KEYS do
  local length = redis.pcall('LPUSHX', KEYS[i], unpack(ARGV, 2))
  if type(length) == 'table' then
    if not string.find(length.err, 'WRONGTYPE') then return length end
    length = longest + 1
  end
  if length > longest then
    redis.call('UNLINK', KEYS[i])
  end
end
""")

ALL = (LEASE, FILL, LEASE_FEED, APPEND, PROLONG, PUSH)

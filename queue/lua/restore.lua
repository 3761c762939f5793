-- Records an op again that a node has begun and Redis has lost. It stands in front of its
-- install's line, as what it has half made is there.
-- KEYS 1 op  2 fifo  3 outbox  4 last  5 open  6 events  7 feed
-- ARGV 1 op id  2 channel  3 attempt  4.. field, value of the op
-- Answer 1 recorded · 0 the ledger has it
-- include announce
if redis.call("EXISTS", KEYS[1]) == 1 then return 0 end
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- Running, so that who cancels it has it undone. Its changes had numbers that are lost. No op has had as many as there are seconds since 1970.
redis.call("HSET", KEYS[1], "state", "running", "attempt", ARGV[3], "seq", t[1], "progress", 0,
  "created", now, "started", now, "updated", now, unpack(ARGV, 4))
redis.call("LPUSH", KEYS[2], ARGV[1])
redis.call("ZADD", KEYS[3], now, ARGV[1])
redis.call("SET", KEYS[4], ARGV[1], "NX")
redis.call("SADD", KEYS[5], ARGV[1])
announce(KEYS[1], KEYS[6], KEYS[7], ARGV[2], ARGV[1], now, "running", 0)
return 1

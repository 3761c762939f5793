-- Records an op: hash, place in the install's FIFO, outbox entry. All or nothing.
-- KEYS 1 op  2 fifo  3 outbox  4 site  5 last  6 open  7 events  8 feed
-- ARGV 1 op id  2 fail if busy (1/0)  3 fail if the install exists (1/0)  4 channel  5.. field, value of the op
-- Answer {1, position} made · {0, position} was there already · {-1, op id} busy · {-2, ""} exists
-- include announce
if redis.call("EXISTS", KEYS[1]) == 1 then
  return {0, redis.call("LPOS", KEYS[2], ARGV[1]) or 0}
end
local front = redis.call("LLEN", KEYS[2])
if ARGV[2] == "1" and front > 0 then
  return {-1, redis.call("LINDEX", KEYS[2], 0)}
end
if ARGV[3] == "1" and redis.call("HEXISTS", KEYS[4], "rec") == 1 then
  return {-2, ""}
end
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call("HSET", KEYS[1], "state", "queued", "attempt", 0, "seq", 0, "progress", 0,
  "created", now, "updated", now, unpack(ARGV, 5))
redis.call("RPUSH", KEYS[2], ARGV[1])
redis.call("ZADD", KEYS[3], now, ARGV[1])
redis.call("SET", KEYS[5], ARGV[1])
redis.call("SADD", KEYS[6], ARGV[1])
announce(KEYS[1], KEYS[7], KEYS[8], ARGV[4], ARGV[1], now, "queued", 0)
return {1, front}

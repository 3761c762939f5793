-- Cancels an op: at once while nothing of it has run, else by asking its worker.
-- KEYS 1 op  2 fifo  3 outbox  4 events  5 log  6 last  7 open  8 feed  9 ended
-- ARGV 1 op id  2 channel  3 error JSON of a cancelled op
-- Answer {code, next head or ""}; code 1 cancelled · 2 asked the worker · 0 was final · -1 no such op
-- include announce
local cur = redis.call("HMGET", KEYS[1], "state", "attempt", "progress", "retention", "cancel")
if not cur[1] then return {-1, ""} end
if cur[1] ~= "queued" and cur[1] ~= "running" then return {0, ""} end

local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if cur[1] == "running" then
  if cur[5] == "1" then return {2, ""} end
  redis.call("HSET", KEYS[1], "cancel", 1, "updated", now, "message", "Cancelling")
  announce(KEYS[1], KEYS[4], KEYS[8], ARGV[2], ARGV[1], now, "running", cur[3], {"message", "Cancelling"})
  return {2, ""}
end

redis.call("HSET", KEYS[1], "state", "cancelled", "cancel", 1, "updated", now, "finished", now, "error", ARGV[3], "message", "")
announce(KEYS[1], KEYS[4], KEYS[8], ARGV[2], ARGV[1], now, "cancelled", cur[3])
redis.call("ZADD", KEYS[9], now, ARGV[1]) -- until its webhooks are on their way
local keep = tonumber(cur[4])
for _, k in ipairs({KEYS[1], KEYS[4], KEYS[5]}) do redis.call("EXPIRE", k, keep) end
if redis.call("GET", KEYS[6]) == ARGV[1] then redis.call("EXPIRE", KEYS[6], keep) end

-- The install passes on only when it was this op's turn.
local was = redis.call("LINDEX", KEYS[2], 0)
redis.call("SREM", KEYS[7], ARGV[1])
redis.call("ZREM", KEYS[3], ARGV[1])
redis.call("LREM", KEYS[2], 0, ARGV[1])
local head = redis.call("LINDEX", KEYS[2], 0)
if was ~= ARGV[1] or not head then return {1, ""} end
redis.call("ZADD", KEYS[3], now, head)
return {1, head}

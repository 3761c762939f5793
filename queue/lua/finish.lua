-- Writes the final state, once, and passes the install to the next op.
-- KEYS 1 op  2 fifo  3 outbox  4 events  5 log  6 last  7 open  8 feed  9 ended
-- ARGV 1 op id  2 channel  3 attempt  4 state  5 result JSON or ""  6 error JSON or ""
-- Answer {code, next head or ""}; code 1 written · 0 was final · -1 no such op · -2 fenced by a newer attempt
-- include announce
local cur = redis.call("HMGET", KEYS[1], "state", "attempt", "progress", "retention")
if not cur[1] then return {-1, ""} end
if cur[1] ~= "queued" and cur[1] ~= "running" then return {0, ""} end
if tonumber(ARGV[3]) < tonumber(cur[2]) then return {-2, ""} end

local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local progress = tonumber(cur[3] or "0")
if ARGV[4] == "succeeded" or ARGV[4] == "unverified" then progress = 100 end
redis.call("HSET", KEYS[1], "state", ARGV[4], "progress", progress, "updated", now, "finished", now,
  "result", ARGV[5], "error", ARGV[6], "message", "")
announce(KEYS[1], KEYS[4], KEYS[8], ARGV[2], ARGV[1], now, ARGV[4], progress)
redis.call("ZADD", KEYS[9], now, ARGV[1]) -- until its webhooks are on their way

-- Ended ops leave by themselves; open ones never do.
local keep = tonumber(cur[4])
for _, k in ipairs({KEYS[1], KEYS[4], KEYS[5]}) do redis.call("EXPIRE", k, keep) end
if redis.call("GET", KEYS[6]) == ARGV[1] then redis.call("EXPIRE", KEYS[6], keep) end

redis.call("SREM", KEYS[7], ARGV[1])
redis.call("ZREM", KEYS[3], ARGV[1])
redis.call("LREM", KEYS[2], 0, ARGV[1])
local head = redis.call("LINDEX", KEYS[2], 0)
if not head then return {1, ""} end
redis.call("ZADD", KEYS[3], now, head)
return {1, head}

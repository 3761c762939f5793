-- Notes why an open op has to wait, for people and for the next attempt. Says it once.
-- KEYS 1 op  2 events
-- ARGV 1 op id  2 channel  3 why (drain, busy, retry, unknown)  4 message
-- Answer 1 noted · 0 final · -1 no such op
local cur = redis.call("HMGET", KEYS[1], "state", "message", "progress")
if not cur[1] then return -1 end
if cur[1] ~= "queued" and cur[1] ~= "running" then return 0 end
redis.call("HSET", KEYS[1], "why", ARGV[3])
if cur[2] == ARGV[4] then return 1 end

local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local seq = redis.call("HINCRBY", KEYS[1], "seq", 1)
redis.call("HSET", KEYS[1], "message", ARGV[4], "updated", now)
redis.call("XADD", KEYS[2], "MAXLEN", "~", 500, seq .. "-0", "at", now, "state", cur[1],
  "progress", cur[3] or 0, "message", ARGV[4])
redis.call("PUBLISH", ARGV[2], ARGV[1] .. " " .. seq .. " " .. cur[1])
return 1

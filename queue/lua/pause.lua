-- Notes why an open op has to wait, for people and for the next attempt. Says it once.
-- KEYS 1 op  2 events  3 feed
-- ARGV 1 op id  2 channel  3 why (drain, busy, retry, unknown, clock)  4 message
-- Answer 1 noted · 2 noted, and said before · 0 final · -1 no such op
-- include announce
local cur = redis.call("HMGET", KEYS[1], "state", "message", "progress")
if not cur[1] then return -1 end
if cur[1] ~= "queued" and cur[1] ~= "running" then return 0 end
redis.call("HSET", KEYS[1], "why", ARGV[3])
if cur[2] == ARGV[4] then return 2 end

local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call("HSET", KEYS[1], "message", ARGV[4], "updated", now)
announce(KEYS[1], KEYS[2], KEYS[3], ARGV[2], ARGV[1], now, cur[1], cur[3] or 0, {"message", ARGV[4]})
return 1

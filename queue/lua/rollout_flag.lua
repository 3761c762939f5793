-- Pauses, resumes or cancels a rollout; the leader acts on it.
-- KEYS 1 op  2 events  3 feed
-- ARGV 1 op id  2 channel  3 field (paused, cancel)  4 value (1/0)  5 message
-- Answer 1 set · 2 was so already · 0 final · -1 no such op
-- include announce
local cur = redis.call("HMGET", KEYS[1], "state", ARGV[3], "progress")
if not cur[1] then return -1 end
if cur[1] ~= "queued" and cur[1] ~= "running" then return 0 end
if (cur[2] or "0") == ARGV[4] then return 2 end
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call("HINCRBY", KEYS[1], "rev", 1)
redis.call("HSET", KEYS[1], ARGV[3], ARGV[4], "updated", now, "message", ARGV[5])
announce(KEYS[1], KEYS[2], KEYS[3], ARGV[2], ARGV[1], now, cur[1], cur[3] or 0, {"message", ARGV[5]})
return 1

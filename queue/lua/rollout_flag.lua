-- Pauses, resumes or cancels a rollout; the leader acts on it.
-- KEYS 1 op  2 events
-- ARGV 1 op id  2 channel  3 field (paused, cancel)  4 value (1/0)  5 message
-- Answer 1 set · 2 was so already · 0 final · -1 no such op
local cur = redis.call("HMGET", KEYS[1], "state", ARGV[3], "progress")
if not cur[1] then return -1 end
if cur[1] ~= "queued" and cur[1] ~= "running" then return 0 end
if (cur[2] or "0") == ARGV[4] then return 2 end
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call("HINCRBY", KEYS[1], "rev", 1)
local seq = redis.call("HINCRBY", KEYS[1], "seq", 1)
redis.call("HSET", KEYS[1], ARGV[3], ARGV[4], "updated", now, "message", ARGV[5])
redis.call("XADD", KEYS[2], "MAXLEN", "~", 500, seq .. "-0", "at", now, "state", cur[1], "progress", cur[3] or 0, "message", ARGV[5])
redis.call("PUBLISH", ARGV[2], ARGV[1] .. " " .. seq .. " " .. cur[1])
return 1

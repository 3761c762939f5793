-- Records a rollout: its op, its installs, and where each stands. All or nothing.
-- KEYS 1 op  2 events  3 installs  4 states  5 open rollouts
-- ARGV 1 op id  2 states, one byte each  3 number of the words that follow  4.. field, value of the op, then the installs (JSON)
-- Answer 1 made · 0 was there already
if redis.call("EXISTS", KEYS[1]) == 1 then return 0 end
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local words = tonumber(ARGV[3])
redis.call("HSET", KEYS[1], "state", "queued", "attempt", 0, "seq", 1, "rev", 0, "progress", 0,
  "created", now, "updated", now, unpack(ARGV, 4, 3 + words))
for i = 4 + words, #ARGV, 1000 do -- unpack fills Lua's stack, which has an end
  redis.call("RPUSH", KEYS[3], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call("SET", KEYS[4], ARGV[2])
redis.call("SADD", KEYS[5], ARGV[1])
redis.call("XADD", KEYS[2], "1-0", "at", now, "state", "queued", "progress", 0)
return 1

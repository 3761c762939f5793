-- Records a rollout: its op, its installs, and where each stands. All or nothing.
-- KEYS 1 op  2 events  3 installs  4 states  5 open rollouts  6 feed
-- ARGV 1 op id  2 states, one byte each  3 channel  4 number of the words that follow  5.. field, value of the op, then the installs (JSON)
-- Answer 1 made · 0 was there already
-- include announce
if redis.call("EXISTS", KEYS[1]) == 1 then return 0 end
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local words = tonumber(ARGV[4])
redis.call("HSET", KEYS[1], "state", "queued", "attempt", 0, "seq", 0, "rev", 0, "progress", 0,
  "created", now, "updated", now, unpack(ARGV, 5, 4 + words))
for i = 5 + words, #ARGV, 1000 do -- unpack fills Lua's stack, which has an end
  redis.call("RPUSH", KEYS[3], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call("SET", KEYS[4], ARGV[2])
redis.call("SADD", KEYS[5], ARGV[1])
announce(KEYS[1], KEYS[2], KEYS[6], ARGV[3], ARGV[1], now, "queued", 0)
return 1

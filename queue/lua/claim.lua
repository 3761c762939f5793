-- Takes ended ops whose webhooks are to be seen to. Whoever takes one has it for a while; if it is
-- not taken out of the set by then, because its taker died, somebody else gets it.
-- KEYS 1 ended
-- ARGV 1 ms that the taker has  2 how many
-- Answer op ids
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ids = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now, "LIMIT", 0, ARGV[2])
for _, id in ipairs(ids) do redis.call("ZADD", KEYS[1], now + tonumber(ARGV[1]), id) end
return ids

-- Begins an attempt of a delivery, which is nobody else's until the attempt's time is over.
-- KEYS 1 due
-- ARGV 1 prefix of deliveries  2 delivery id, "" = whichever has been due for longest  3 now in ms  4 ms that an attempt may take
-- Answer {id, ""} begun · {"", ms} due in so many ms, or under way · {"", ""} has ended, is gone, or none is due
local id = ARGV[2]
if id == "" then
  id = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", ARGV[3], "LIMIT", 0, 1)[1]
  if not id then return {"", ""} end
end
local due = redis.call("ZSCORE", KEYS[1], id)
if not due then return {"", ""} end
if tonumber(due) > tonumber(ARGV[3]) then return {"", tostring(math.ceil(tonumber(due) - tonumber(ARGV[3])))} end
local key = ARGV[1] .. id -- the same slot
if redis.call("HGET", key, "state") ~= "waiting" then
  redis.call("ZREM", KEYS[1], id)
  return {"", ""}
end
redis.call("ZADD", KEYS[1], ARGV[3] + ARGV[4], id)
redis.call("HINCRBY", key, "tries", 1)
redis.call("HSET", key, "tried", ARGV[3])
return {id, ""}

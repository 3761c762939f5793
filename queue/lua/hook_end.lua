-- Writes how an attempt of a delivery went. Ended ones go into the webhook's log, whose oldest leave.
-- KEYS 1 webhook  2 delivery  3 waiting  4 due  5 log
-- ARGV 1 delivery id  2 state after it (waiting, delivered, failed)  3 now in ms  4 HTTP status, 0 = none
--      5 error or ""  6 ms it took  7 next attempt in ms, 0 = none  8 ended deliveries to keep  9 prefix of deliveries
-- Answer since when (ms) the webhook fails without a success · 0 it does not · -1 the delivery has ended or is gone
if redis.call("HGET", KEYS[2], "state") ~= "waiting" then return -1 end
redis.call("HSET", KEYS[2], "state", ARGV[2], "status", ARGV[4], "error", ARGV[5], "took", ARGV[6], "next", ARGV[7])
if ARGV[2] == "waiting" then
  redis.call("ZADD", KEYS[4], ARGV[7], ARGV[1])
else
  redis.call("HSET", KEYS[2], "ended", ARGV[3])
  redis.call("ZREM", KEYS[3], ARGV[1])
  redis.call("ZREM", KEYS[4], ARGV[1])
  redis.call("LPUSH", KEYS[5], ARGV[1])
  while redis.call("LLEN", KEYS[5]) > tonumber(ARGV[8]) do
    redis.call("DEL", ARGV[9] .. redis.call("RPOP", KEYS[5])) -- the same slot
  end
end
if redis.call("EXISTS", KEYS[1]) == 0 then return 0 end
if ARGV[2] == "delivered" then
  redis.call("HDEL", KEYS[1], "failing")
  return 0
end
redis.call("HSETNX", KEYS[1], "failing", ARGV[3])
return tonumber(redis.call("HGET", KEYS[1], "failing"))

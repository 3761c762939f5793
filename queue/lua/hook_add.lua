-- Records a delivery, once for its id.
-- KEYS 1 webhook  2 delivery  3 waiting (by age)  4 due (by next attempt)  5 log
-- ARGV 1 delivery id  2 event  3 op id or ""  4 now in ms  5 how many may wait
-- Answer 1 made · 2 was there and waits · 0 was there and has ended · -1 no such webhook · -2 too many wait
if redis.call("EXISTS", KEYS[1]) == 0 then return -1 end
local state = redis.call("HGET", KEYS[2], "state")
if state == "waiting" then return 2 end
if state then return 0 end
if redis.call("ZCARD", KEYS[3]) >= tonumber(ARGV[5]) then return -2 end
redis.call("HSET", KEYS[2], "state", "waiting", "event", ARGV[2], "op", ARGV[3], "created", ARGV[4], "next", ARGV[4], "tries", 0)
redis.call("ZADD", KEYS[3], ARGV[4], ARGV[1])
redis.call("ZADD", KEYS[4], ARGV[4], ARGV[1])
return 1

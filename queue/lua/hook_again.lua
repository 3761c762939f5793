-- Makes a delivery wait again, as if it were new.
-- KEYS 1 delivery  2 waiting  3 due  4 log
-- ARGV 1 delivery id  2 now in ms
-- Answer 1 waits · -1 no such delivery
if redis.call("EXISTS", KEYS[1]) == 0 then return -1 end
redis.call("HSET", KEYS[1], "state", "waiting", "tries", 0, "next", ARGV[2])
redis.call("HDEL", KEYS[1], "ended")
redis.call("LREM", KEYS[4], 0, ARGV[1])
redis.call("ZADD", KEYS[2], "NX", ARGV[2], ARGV[1])
redis.call("ZADD", KEYS[3], ARGV[2], ARGV[1])
return 1

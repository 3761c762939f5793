-- Writes a schedule and when it is due next.
-- KEYS 1 schedule  2 all  3 those of its account  4 due
-- ARGV 1 id  2 schedule JSON  3 due in ms, 0 = never  4 new (1/0)  5 most of an account  6 account or ""  7 signature
-- Answer 1 written · 0 there is no such schedule (any more) · -1 the account has too many · 2 a new one was there already
local there = redis.call("HEXISTS", KEYS[1], "def") == 1
if ARGV[4] == "0" and not there then return 0 end
if ARGV[4] == "1" then
  if there then return 2 end
  if redis.call("ZCARD", KEYS[3]) >= tonumber(ARGV[5]) then return -1 end
end
redis.call("HSET", KEYS[1], "def", ARGV[2], "sig", ARGV[7])
redis.call("ZADD", KEYS[2], 0, ARGV[1])
redis.call("ZADD", KEYS[3], 0, ARGV[1])
if ARGV[3] == "0" then redis.call("ZREM", KEYS[4], ARGV[1]) else redis.call("ZADD", KEYS[4], ARGV[3], ARGV[1]) end
return 1

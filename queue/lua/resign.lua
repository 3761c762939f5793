-- Writes a new signature to a record, if it is still there.
-- KEYS 1 record
-- ARGV 1 field that every such record has  2 signature
-- Answer 1 written · 0 gone
if redis.call("HEXISTS", KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call("HSET", KEYS[1], "sig", ARGV[2])
return 1

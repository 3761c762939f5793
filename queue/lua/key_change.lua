-- Changes the record of an API key, unless it was changed or revoked meanwhile.
-- KEYS[1] the key's record.  ARGV the record as it was read, the new one, its signature.
-- Answers 1, or 0 when it is another one by now.
if redis.call("HGET", KEYS[1], "rec") ~= ARGV[1] then return 0 end
redis.call("HSET", KEYS[1], "rec", ARGV[2], "sig", ARGV[3])
return 1

-- Keeps the first answer of a reserved request.
-- KEYS[1] the reservation.  ARGV op id, status, body.
-- Answers 1 when kept, 0 when the reservation is gone, another's, or answered.
if redis.call("HGET", KEYS[1], "op") ~= ARGV[1] then return 0 end
if redis.call("HEXISTS", KEYS[1], "status") == 1 then return 0 end
redis.call("HSET", KEYS[1], "status", ARGV[2], "body", ARGV[3])
return 1

-- Reserves an idempotency key, or answers what is reserved already.
-- KEYS[1] the reservation.  ARGV body hash, op id, now in ms, ttl in ms.
-- Answers false when the reservation is ours, else {hash, op, status, body, at}.
if redis.call("EXISTS", KEYS[1]) == 1 then
  return redis.call("HMGET", KEYS[1], "hash", "op", "status", "body", "at")
end
redis.call("HSET", KEYS[1], "hash", ARGV[1], "op", ARGV[2], "at", ARGV[3])
redis.call("PEXPIRE", KEYS[1], ARGV[4])
return false

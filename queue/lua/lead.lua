-- Takes or keeps the leadership.
-- KEYS 1 leader
-- ARGV 1 who asks  2 time to live in ms
-- Answer 1 leads · 0 somebody else does
local leader = redis.call("GET", KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return 1

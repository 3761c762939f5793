-- Takes an op out of the outbox after it was indexed and, when it was the head
-- of its FIFO, handed to asynq. An op that became the head in between stays.
-- KEYS 1 outbox  2 fifo
-- ARGV 1 op id  2 handed to asynq (1/0)
-- Answer 1 taken out · 0 it is the head now and has to be handed over
if ARGV[2] == "0" and redis.call("LINDEX", KEYS[2], 0) == ARGV[1] then
  return 0
end
redis.call("ZREM", KEYS[1], ARGV[1])
return 1

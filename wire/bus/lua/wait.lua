-- A caller's place in the line, from 0; -1 for who did not ask for one. Who has not asked for long is gone.
-- KEYS: callers by when they came, callers by when they asked.  ARGV: call ('' = none), seconds after which one is gone.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[2]))) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('ZREM', KEYS[2], gone)
end
local place = -1
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[1], 'NX', now, ARGV[1])
  redis.call('ZADD', KEYS[2], now, ARGV[1])
  place = redis.call('ZRANK', KEYS[1], ARGV[1])
end
return {place, redis.call('ZCARD', KEYS[1])}

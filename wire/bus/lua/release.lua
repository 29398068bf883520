-- Give a slot back.  KEYS: call leases.  ARGV: prefix of the lease sets, call.
local worker = redis.call('HGET', KEYS[1], ARGV[2])
if worker then
  redis.call('ZREM', ARGV[1] .. worker, ARGV[2])
  redis.call('HDEL', KEYS[1], ARGV[2])
end
return 0

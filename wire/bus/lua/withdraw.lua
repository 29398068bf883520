-- Offer no more slots; leases stay.  KEYS: heartbeats, adverts.  ARGV: worker.
redis.call('ZADD', KEYS[1], 'XX', 0, ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 0

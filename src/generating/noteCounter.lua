-- First script of a commit: notes how many jobs the queue has had so far. The note is a field of the source's own cursor
-- hash: nothing interleaves within an EXEC, and the last script removes it, so nobody ever sees it.
-- KEYS: 1 cursor, 2 job counter
redis.call('HSET', KEYS[1], 'counted', redis.call('GET', KEYS[2]) or '0')

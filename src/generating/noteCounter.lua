-- First script of a commit: notes the queue's job counter. The note is a field of the source's cursor hash: nothing
-- interleaves within an EXEC, and the last script removes the field, so no other client ever sees it.
-- KEYS: 1 cursor, 2 job counter
redis.call('HSET', KEYS[1], 'counted', redis.call('GET', KEYS[2]) or '0')

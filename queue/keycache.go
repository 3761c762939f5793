package queue

import (
	"sync"
	"time"
)

const (
	keyKnownFor   = 5 * time.Second // how late a revocation may be seen
	keyUnknownFor = time.Second
	keyTouchEvery = time.Minute
	keyCacheSize  = 4096 // entries of each kind
)

// keyCache remembers look-ups of API keys, the good ones apart from the bad
// ones, so that a flood of guesses cannot push out the keys in use.
type keyCache struct {
	mu      sync.Mutex
	known   map[string]cachedKey
	unknown map[string]time.Time // until when
	touched map[string]time.Time // when the last use was noted
}

type cachedKey struct {
	key   Key
	until time.Time
}

func newKeyCache() *keyCache {
	return &keyCache{
		known: map[string]cachedKey{}, unknown: map[string]time.Time{}, touched: map[string]time.Time{},
	}
}

// get answers the key of a hash and whether there is one; found is false when
// Redis has to be asked.
func (c *keyCache) get(sum string, now time.Time) (k Key, known, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.known[sum]; ok && now.Before(e.until) {
		return e.key, true, true
	}
	if until, ok := c.unknown[sum]; ok && now.Before(until) {
		return Key{}, false, true
	}
	return Key{}, false, false
}

func (c *keyCache) put(sum string, k Key, known bool, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known {
		delete(c.unknown, sum)
		makeRoom(c.known, func(e cachedKey) bool { return !now.Before(e.until) })
		c.known[sum] = cachedKey{key: k, until: now.Add(keyKnownFor)}
		return
	}
	delete(c.known, sum)
	makeRoom(c.unknown, func(until time.Time) bool { return !now.Before(until) })
	c.unknown[sum] = now.Add(keyUnknownFor)
}

func (c *keyCache) drop(sum string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, sum)
}

// touch reports whether a use has to be noted now, and takes it as noted.
func (c *keyCache) touch(sum string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.touched[sum]; ok && now.Sub(last) < keyTouchEvery {
		return false
	}
	makeRoom(c.touched, func(last time.Time) bool { return now.Sub(last) >= keyTouchEvery })
	c.touched[sum] = now
	return true
}

// makeRoom lets a full map forget what is stale, and if that is not enough, any
// entries until an eighth is free: so that its cost is spread over many calls.
func makeRoom[V any](m map[string]V, stale func(V) bool) {
	if len(m) < keyCacheSize {
		return
	}
	for k, v := range m {
		if stale(v) {
			delete(m, k)
		}
	}
	for k := range m {
		if len(m) <= keyCacheSize*7/8 {
			return
		}
		delete(m, k)
	}
}

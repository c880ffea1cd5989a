package offsetsync

import (
	"math"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// entryCost is about what an entry of the cache takes beside its bytes.
const entryCost = 144

// cache holds steps of segments that are in the topic as well, the most recently used ones up to a number of bytes.
type cache struct {
	limit int64
	bytes int64
	lru   *simplelru.LRU[*segment, []byte]
}

func newCache(limit int64) *cache {
	c := &cache{limit: limit}
	lru, err := simplelru.NewLRU(math.MaxInt, func(_ *segment, ops []byte) { c.bytes -= int64(cap(ops)) + entryCost })
	if err != nil {
		panic(err) // only a size below one is an error
	}
	c.lru = lru
	return c
}

// put keeps the steps of a segment; a nil cache keeps none.
func (c *cache) put(s *segment, ops []byte) {
	if c == nil {
		return
	}
	c.lru.Remove(s)
	c.lru.Add(s, ops)
	for c.bytes += int64(cap(ops)) + entryCost; c.bytes > c.limit; {
		c.lru.RemoveOldest()
	}
}

func (c *cache) drop(s *segment) {
	if c != nil {
		c.lru.Remove(s)
	}
}

// steps are the steps of a segment that does not grow, if they are in memory.
func (c *cache) steps(s *segment) ([]byte, bool) {
	if s.ops != nil || c == nil {
		return s.ops, s.ops != nil
	}
	return c.lru.Get(s)
}

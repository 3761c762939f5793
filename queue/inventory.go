package queue

import (
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// publishChunk is how many entries share one pipeline: enough to hide the round
// trip, few enough not to hold Redis up for others.
const publishChunk = 500

// inventory is what a node has published of one sort, kept to tell what a new
// scan adds, changes and removes. The same is in Redis, in the hash index, which
// a restarted worker reads once and compares against by size afterwards.
//
// A name is published by three writes: its intent in the index, what it stands
// for, and its mark. It is removed by three as well: its intent, what it stands
// for, and its entry. So a crash anywhere leaves an entry that equals no scan's,
// and the next one writes or removes the name again.
type inventory struct {
	index string // key of the hash name -> mark

	mu    sync.Mutex
	known map[string]string // nil = not read yet
}

// mark is what the index keeps of a name: a hash of its value, which two values
// share in one of 2^64 cases, and what its removal needs to know.
func mark(value []byte, removal string) string {
	h := fnv.New64a()
	h.Write(value) // never fails
	return strconv.FormatUint(h.Sum64(), 36) + "\n" + removal
}

// intent is a mark without its hash, which therefore equals no finished one.
func intent(mark string) string { return "\n" + removalOf(mark) }

func removalOf(mark string) string { _, removal, _ := strings.Cut(mark, "\n"); return removal }

// difference is the work that a scan leads to, in order of name.
type difference struct{ put, drop []string }

// compare tells what has to be done so that found is what is published.
func compare(known, found map[string]string) difference {
	var d difference
	for name, mark := range found {
		if old, ok := known[name]; !ok || old != mark {
			d.put = append(d.put, name)
		}
	}
	for name := range known {
		if _, ok := found[name]; !ok {
			d.drop = append(d.drop, name)
		}
	}
	slices.Sort(d.put)
	slices.Sort(d.drop)
	return d
}

// forget makes the next publication compare against Redis again.
func (v *inventory) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known = nil
}

// shelf holds what the names of an inventory stand for. Both methods answer the
// names they left alone for now, which the next scan tries again.
type shelf interface {
	put(ctx context.Context, names []string) (left []string, err error)
	// drop gets what mark was given for the removal, by name.
	drop(ctx context.Context, removals map[string]string) (left []string, err error)
}

// publish brings Redis to what was found: name -> mark.
func (v *inventory) publish(ctx context.Context, rdb redis.UniversalClient, found map[string]string, to shelf) error {
	return v.change(ctx, rdb, func() error {
		d := compare(v.known, found)
		for chunk := range slices.Chunk(d.put, publishChunk) {
			if err := v.put(ctx, rdb, chunk, found, to); err != nil {
				return err
			}
		}
		for chunk := range slices.Chunk(d.drop, publishChunk) {
			if err := v.drop(ctx, rdb, chunk, to); err != nil {
				return err
			}
		}
		return nil
	})
}

// putOne publishes one name outside of a scan, dropOne removes one.
func (v *inventory) putOne(ctx context.Context, rdb redis.UniversalClient, name, mark string, to shelf) error {
	return v.change(ctx, rdb, func() error {
		return v.put(ctx, rdb, []string{name}, map[string]string{name: mark}, to)
	})
}

func (v *inventory) dropOne(ctx context.Context, rdb redis.UniversalClient, name string, to shelf) error {
	return v.change(ctx, rdb, func() error { return v.drop(ctx, rdb, []string{name}, to) })
}

// change does work on what is published, one at a time. After a failure nobody
// knows which writes arrived, so that Redis is read again.
func (v *inventory) change(ctx context.Context, rdb redis.UniversalClient, work func() error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	err := v.load(ctx, rdb)
	if err == nil {
		err = work()
	}
	if err != nil {
		v.known = nil
	}
	return err
}

// load makes sure that v.known is what is published. v.mu is held, as by all below.
func (v *inventory) load(ctx context.Context, rdb redis.UniversalClient) error {
	size, err := rdb.HLen(ctx, v.index).Result()
	if err != nil {
		return err
	}
	if v.known != nil && int64(len(v.known)) == size {
		return nil
	}
	v.known, err = rdb.HGetAll(ctx, v.index).Result()
	return err
}

func (v *inventory) put(ctx context.Context, rdb redis.UniversalClient, chunk []string, marks map[string]string, to shelf) error {
	err := v.write(ctx, rdb, chunk, func(name string) string { return intent(marks[name]) })
	if err != nil {
		return err
	}
	left, err := to.put(ctx, chunk)
	if err != nil {
		return err
	}
	return v.write(ctx, rdb, without(chunk, left), func(name string) string { return marks[name] })
}

func (v *inventory) drop(ctx context.Context, rdb redis.UniversalClient, chunk []string, to shelf) error {
	removals := make(map[string]string, len(chunk))
	for _, name := range chunk {
		removals[name] = removalOf(v.known[name])
	}
	err := v.write(ctx, rdb, chunk, func(name string) string { return intent(v.known[name]) })
	if err != nil {
		return err
	}
	left, err := to.drop(ctx, removals)
	if err != nil {
		return err
	}
	gone := without(chunk, left)
	if len(gone) == 0 {
		return nil
	}
	if err := rdb.HDel(ctx, v.index, gone...).Err(); err != nil {
		return err
	}
	for _, name := range gone {
		delete(v.known, name)
	}
	return nil
}

// write sets the marks of a chunk, in Redis and then in memory.
func (v *inventory) write(ctx context.Context, rdb redis.UniversalClient, chunk []string, mark func(name string) string) error {
	if len(chunk) == 0 {
		return nil
	}
	pairs := make([]any, 0, 2*len(chunk))
	for _, name := range chunk {
		pairs = append(pairs, name, mark(name))
	}
	if err := rdb.HSet(ctx, v.index, pairs...).Err(); err != nil {
		return err
	}
	for _, name := range chunk {
		v.known[name] = mark(name)
	}
	return nil
}

func without(all, left []string) []string {
	if len(left) == 0 {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(left, name) })
}

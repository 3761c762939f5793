package queue

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

var detailsPutScript = lua("details_put")

// MaxFacts is how many bytes of JSON Details keeps.
const MaxFacts = 256 << 10

// Details is what an inspection of an install found: much, and therefore apart from the
// inventory record that lists are made of.
type Details struct {
	At time.Time // of the inspection
	// Stale: an op has changed the install since.
	Stale bool
	// Seen is the install as its own WordPress tells it.
	Seen Site
	// Facts is JSON that the queue passes on; nil when only the rest was asked for.
	Facts json.RawMessage
}

// PutDetails keeps the details of an install that is in the inventory; of any other they
// are dropped without error.
func (n *Node) PutDetails(ctx context.Context, id string, d Details) error {
	if len(d.Facts) > MaxFacts {
		return fmt.Errorf("keeping details: %d bytes are more than %d", len(d.Facts), MaxFacts)
	}
	seen, err := json.Marshal(d.Seen)
	if err != nil {
		return fmt.Errorf("encoding details: %w", err)
	}
	facts, err := pack(d.Facts)
	if err != nil {
		return err
	}
	keys := []string{n.names.details(id), n.names.site(id)}
	if err := detailsPutScript.Run(ctx, n.rdb, keys, d.At.UnixMilli(), seen, facts).Err(); err != nil {
		return fmt.Errorf("keeping details: %w", err)
	}
	return nil
}

// SpoilDetails marks the details of an install as older than its last change. Whoever reads
// them then asks for new ones.
func (n *Node) SpoilDetails(ctx context.Context, id string) error {
	// Without details there is nothing to spoil, and a key of its own would never go away.
	known, err := n.rdb.Exists(ctx, n.names.details(id)).Result()
	if err == nil && known == 1 {
		err = n.rdb.HSet(ctx, n.names.details(id), "stale", "1").Err()
	}
	if err != nil {
		return fmt.Errorf("spoiling details: %w", err)
	}
	return nil
}

// Details reads the details of an install; ErrNotFound when it never was inspected.
func (c *Client) Details(ctx context.Context, id string) (Details, error) {
	fields, err := c.rdb.HGetAll(ctx, c.names.details(id)).Result()
	if err != nil {
		return Details{}, fmt.Errorf("reading details: %w", err)
	}
	d, err := decodeDetails(fields["at"], fields["seen"], fields["stale"])
	if err != nil {
		return Details{}, err
	}
	if d.Facts, err = unpack(fields["facts"]); err != nil {
		return Details{}, err
	}
	return d, nil
}

func decodeDetails(at, seen, stale string) (Details, error) {
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil || seen == "" {
		return Details{}, ErrNotFound
	}
	d := Details{At: time.UnixMilli(ms).UTC(), Stale: stale != ""}
	if d.Seen, err = decodeSite(seen); err != nil {
		return Details{}, err
	}
	return d, nil
}

// Known is an install that a node has published.
type Known struct {
	Site    Site
	Details Details // without Facts; At is zero when it never was inspected
}

// KnownSites reads what this node has published, as a worker does that has just started.
func (n *Node) KnownSites(ctx context.Context) ([]Known, error) {
	ids, err := n.rdb.HKeys(ctx, n.names.nodeSites(n.config.ID)).Result()
	if err != nil {
		return nil, fmt.Errorf("listing published sites: %w", err)
	}
	var all []Known
	for len(ids) > 0 {
		chunk := ids[:min(len(ids), publishChunk)]
		ids = ids[len(chunk):]
		known, err := n.readKnown(ctx, chunk)
		if err != nil {
			return nil, err
		}
		all = append(all, known...)
	}
	return all, nil
}

func (n *Node) readKnown(ctx context.Context, ids []string) ([]Known, error) {
	pipe := n.rdb.Pipeline()
	records, details := make([]*redis.StringCmd, len(ids)), make([]*redis.SliceCmd, len(ids))
	for i, id := range ids {
		records[i] = pipe.HGet(ctx, n.names.site(id), "rec")
		details[i] = pipe.HMGet(ctx, n.names.details(id), "at", "seen", "stale")
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("reading published sites: %w", err)
	}
	var known []Known
	for i, id := range ids {
		var k Known
		var err error
		if k.Site, err = decodeSite(records[i].Val()); err != nil {
			continue // a name whose record was not written, or is gone: the next scan settles it
		}
		text := func(field int) string { s, _ := details[i].Val()[field].(string); return s }
		if k.Details, err = decodeDetails(text(0), text(1), text(2)); err != nil && !errors.Is(err, ErrNotFound) {
			n.survived("sites", "reading details of a site", err, "site", id)
		}
		known = append(known, k)
	}
	return known, nil
}

// pack compresses: the facts of ten thousand installs are in memory all the time, and
// nothing but their reader looks at them.
func pack(facts []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(facts)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("packing details: %w", err)
	}
	return b.Bytes(), nil
}

func unpack(packed string) (json.RawMessage, error) {
	facts, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader([]byte(packed))), MaxFacts))
	if err == nil && !json.Valid(facts) {
		err = errors.New("not JSON")
	}
	if err != nil {
		return nil, fmt.Errorf("unpacking details: %w", err)
	}
	return facts, nil
}

package queue

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/redis/go-redis/v9"
)

// Unavailable reports whether an error means that Redis cannot serve right now:
// it is away, starting, failing over, or refuses writes. Trying again later is
// then the answer; any other error is not cured by waiting.
func Unavailable(err error) bool {
	var network net.Error
	switch {
	case err == nil:
		return false
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, errNotCopied), errors.Is(err, redis.ErrClosed), errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return true
	}
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	for _, prefix := range []string{
		"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS",
		"MISCONF", "OOM", "BUSY", "UNBLOCKED", "NOAUTH", "WRONGPASS", "NOPERM", "ERR max number of clients",
	} {
		if redis.HasErrorPrefix(reply, prefix) {
			return true
		}
	}
	return false
}

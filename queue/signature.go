package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// Redis carries orders, and is not trusted with giving them. Whatever makes a node do
// something, or an API let somebody in, is signed by who decided it: ops, rollouts,
// schedules, API keys, tickets and sessions. What Redis adds to them later (states, progress, times) is not,
// so whoever owns Redis can lie about those, and stop or delay what was ordered.

// Signer signs what this process decides. The answer names the key.
type Signer interface {
	Sign(message []byte) string
}

// Verifier tells whether a key that is trusted made a signature: ErrForged, ErrUnknownSigner.
type Verifier interface {
	Verify(message []byte, signature string) error
}

// Why a record is not believed.
var (
	ErrUnsigned      = errors.New("record is not signed")
	ErrUnknownSigner = errors.New("record is signed with a key that is not trusted")
	ErrForged        = errors.New("record does not match its signature")
	ErrStale         = errors.New("record was signed too long ago")
)

// SignatureLife is how long after its signing an op may be begun. A node has to remember for
// so long which ops have ended on it (Handler.Ended).
const SignatureLife = 30 * 24 * time.Hour

// signatureSkew is how far ahead a signer's clock may be.
const signatureSkew = 10 * time.Minute

// What is signed, so that no record passes for one of another sort.
const (
	signedOp       = "op"
	signedRollout  = "rollout"
	signedSchedule = "schedule"
	signedKey      = "key"
	signedTicket   = "ticket"
	signedCode     = "code"
	signedSession  = "session"
)

// sign makes the signature of a record, "<Unix ms>.<what the Signer says>"; "" without one.
func (s *Store) sign(what string, parts ...string) string {
	if s.signer == nil {
		return ""
	}
	return s.signAt(time.Now().UnixMilli(), what, parts)
}

func (s *Store) signAt(ms int64, what string, parts []string) string {
	return strconv.FormatInt(ms, 10) + "." + s.signer.Sign(canonical(what, ms, parts))
}

// verify checks a record and says when it was signed. Without a Verifier all are believed.
func (s *Store) verify(what, signature string, parts ...string) (at time.Time, err error) {
	if s.verifier == nil || signature == "" && s.unsigned {
		return time.Time{}, nil
	}
	if signature == "" {
		return time.Time{}, ErrUnsigned
	}
	text, rest, _ := strings.Cut(signature, ".")
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, ErrForged
	}
	return time.UnixMilli(ms), s.verifier.Verify(canonical(what, ms, parts), rest)
}

// stamped is a value with its signature, for keys that hold nothing else. The name of the key is
// signed as well, so that a value is good under no other.
func (s *Store) stamped(what, name, value string) string {
	return s.sign(what, name, value) + "\n" + value
}

// unstamped takes such a value apart and believes it for life after its signing.
func (s *Store) unstamped(what, name, text string, life time.Duration) (string, error) {
	signature, value, _ := strings.Cut(text, "\n")
	at, err := s.verify(what, signature, name, value)
	if err == nil && !at.IsZero() && time.Since(at).Abs() > life+signatureSkew {
		err = ErrStale
	}
	return value, s.disbelieved(what, err)
}

// canonical is the one way to write a record: every part with its length in front, so that
// nothing can be moved from one to the next.
func canonical(what string, at int64, parts []string) []byte {
	message := fmt.Appendf(nil, "wptk %s 1\n%d\n", what, at)
	for _, part := range parts {
		message = binary.BigEndian.AppendUint32(message, uint32(len(part))) // Redis holds no longer ones
		message = append(message, part...)
	}
	return message
}

// opParts is all of an op that whoever asked for it has decided. Revealed is not in it: it
// is for the API alone, and is gone once it was read.
func opParts(op tasks.Op) []string {
	return []string{
		op.ID, op.Kind, string(op.Class), op.Site.ID, op.Site.Node, op.Site.Account, op.Site.Domain, op.Site.Path,
		op.KeyID, op.RequestID, op.Parent, string(op.Payload),
	}
}

// VerifyOp tells whether an op of the ledger, read by Get, is one that a trusted API accepted
// as it stands there. Who makes an order out of an older one has to ask.
func (s *Store) VerifyOp(op tasks.Op) error {
	if op.Rollout() {
		return nil // its signature covers its installs as well: see verifyRollout
	}
	_, err := s.verify(signedOp, op.Signature, opParts(op)...)
	return s.disbelieved(signedOp, err)
}

// disbelieved counts a record that is refused.
func (s *Store) disbelieved(what string, err error) error {
	if err != nil {
		s.metrics.Refused(what, refusalOf(err))
	}
	return err
}

// untrustedRecord tells a record that is refused from one that could not be read.
func untrustedRecord(err error) bool {
	return errors.Is(err, ErrUnsigned) || errors.Is(err, ErrUnknownSigner) || errors.Is(err, ErrForged)
}

// refusalOf is a label value of a metric.
func refusalOf(err error) string {
	switch {
	case errors.Is(err, ErrUnsigned):
		return "unsigned"
	case errors.Is(err, ErrUnknownSigner):
		return "unknown_signer"
	case errors.Is(err, ErrStale):
		return "stale"
	case errors.Is(err, errReplayed):
		return "replayed"
	case errors.Is(err, errElsewhere):
		return "elsewhere"
	}
	return "forged"
}

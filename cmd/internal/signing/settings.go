package signing

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/wispanel/wptk/queue"
)

// Trust is whom a process believes.
type Trust struct {
	SigningKeys   string `help:"Directory of the public keys (*.pub) of all APIs: what they have not signed is not acted on. Read anew each time. Empty: Redis is believed." placeholder:"DIR"`
	RequireSigned bool   `help:"Refuse also what has no signature at all, once there are keys. Off while older APIs are still running." default:"true" negatable:""`
}

// Signer is a process that decides itself: an API, or the operator's command line.
type Signer struct {
	Trust
	SigningKeyFile string `help:"Private key (wptk signing new) that signs what this process decides. Nodes and other APIs need its public half." placeholder:"FILE"`
}

// check reports what does not go together.
func (s Signer) check() error {
	if s.SigningKeys != "" && s.SigningKeyFile == "" {
		return errors.New("--signing-keys: needs --signing-key-file, or this process would not believe itself")
	}
	return nil
}

// Identify adds to the options of a store who this process is and whom it believes.
func (s Signer) Identify(o *queue.Options, log *slog.Logger) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.SigningKeyFile == "" {
		log.Warn("nothing is signed: whoever can write to Redis can give orders to every node; see --signing-key-file")
		return nil
	}
	key, err := Load(s.SigningKeyFile)
	if err != nil {
		return fmt.Errorf("--signing-key-file: %w", err)
	}
	o.Signer = key
	return s.believe(o, log, key)
}

// Identify does the same for a node, which has a key for what it orders itself.
func (t Trust) Identify(o *queue.Options, log *slog.Logger, ownKey string) error {
	if t.SigningKeys == "" {
		log.Warn("nothing is verified: whoever can write to Redis can give orders to this node; see --signing-keys")
		return nil
	}
	key, err := Load(ownKey)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = New(ownKey)
	}
	if err != nil {
		return err
	}
	o.Signer = key
	return t.believe(o, log, key)
}

func (t Trust) believe(o *queue.Options, log *slog.Logger, own *Key) error {
	ring := Ring{Dir: t.SigningKeys, More: []Public{own.Public()}}
	if err := closed(t.SigningKeys); err != nil {
		return fmt.Errorf("--signing-keys: %w", err)
	}
	keys, err := ring.Keys()
	if err != nil {
		return fmt.Errorf("--signing-keys: %w", err)
	}
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID()
	}
	log.Info("believing what these keys have signed", "keys", ids, "own", own.Public().ID(), "unsigned", !t.RequireSigned)
	o.Verifier, o.Unsigned = ring, !t.RequireSigned
	return nil
}

// closed refuses a directory into which others than root and this user could put a key.
func closed(dir string) error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written to by others (mode %04o)", dir, info.Mode().Perm())
	}
	return nil
}

// Package seal encrypts the few secrets that must pass through Redis: a payload's
// password to the node that will use it, a generated one to the API that will
// show it once. Keys are age X25519 identities in files that only their process
// can read; Redis sees recipients and ciphertext.
package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
)

// Prefix marks a sealed value on the wire.
const Prefix = "age:"

// maxSecret bounds what Open will decrypt: a secret is a password, not a file.
const maxSecret = 16 << 10

// Key opens what was sealed to its Recipient.
type Key struct{ identity *age.X25519Identity }

// LoadOrCreate reads the identity in path, or makes one there (mode 0600). Two
// processes that start at once agree: the file appears whole or not at all.
func LoadOrCreate(path string) (*Key, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("creating secrets key %s: %w", path, err)
		}
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading secrets key: %w", err)
	}
	identity, err := age.ParseX25519Identity(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, fmt.Errorf("parsing secrets key %s: %w", path, err)
	}
	return &Key{identity}, nil
}

func create(path string) error {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // a private file more, at worst
	if _, err := tmp.WriteString(identity.String() + "\n"); err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	// Link, not rename: the first of two racing processes wins and both read its key.
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// Recipient is the public half: what others seal to.
func (k *Key) Recipient() string { return k.identity.Recipient().String() }

// Open returns the secret in sealed.
func (k *Key) Open(sealed string) (string, error) {
	data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sealed, Prefix))
	if err != nil || !strings.HasPrefix(sealed, Prefix) {
		return "", errors.New("opening secret: not a sealed value")
	}
	r, err := age.Decrypt(bytes.NewReader(data), k.identity)
	if err != nil {
		return "", fmt.Errorf("opening secret: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxSecret))
	if err != nil {
		return "", fmt.Errorf("opening secret: %w", err)
	}
	return string(plain), nil
}

// Reader decrypts a stream that was encrypted to this key. A stream that was cut short or
// changed ends with an error, never with io.EOF.
func (k *Key) Reader(r io.Reader) (io.Reader, error) {
	plain, err := age.Decrypt(r, k.identity)
	if err != nil {
		return nil, fmt.Errorf("opening stream: %w", err)
	}
	return plain, nil
}

// Writer encrypts a stream to a recipient (age1…). Close ends it; without that, its reader
// sees that it is not whole.
func Writer(recipient string, w io.Writer) (io.WriteCloser, error) {
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		return nil, fmt.Errorf("sealing stream: %w", err)
	}
	out, err := age.Encrypt(w, to)
	if err != nil {
		return nil, fmt.Errorf("sealing stream: %w", err)
	}
	return out, nil
}

// To seals secret to a recipient (age1…).
func To(recipient, secret string) (string, error) {
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		return "", fmt.Errorf("sealing secret: %w", err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return "", fmt.Errorf("sealing secret: %w", err)
	}
	if _, err := io.WriteString(w, secret); err != nil {
		return "", fmt.Errorf("sealing secret: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("sealing secret: %w", err)
	}
	return Prefix + base64.StdEncoding.EncodeToString(out.Bytes()), nil
}

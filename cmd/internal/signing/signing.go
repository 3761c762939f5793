// Package signing holds the keys with which APIs sign what they decide, so that nodes need
// not believe Redis. They are Ed25519 keys in PEM files (PKCS #8 and PKIX, as openssl makes
// them too). A key's id is the start of its SHA-256: nothing has to be registered, and a file
// may have any name.
package signing

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wispanel/wptk/queue"
)

// Key signs.
type Key struct{ private ed25519.PrivateKey }

// Public is a key that signatures are checked with.
type Public ed25519.PublicKey

// ID is 16 hex digits.
func (p Public) ID() string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:8])
}

// PEM is the file's content.
func (p Public) PEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(p))
	if err != nil {
		return nil, fmt.Errorf("encoding public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// Public is what nodes and other APIs get.
func (k *Key) Public() Public { return Public(k.private.Public().(ed25519.PublicKey)) }

// Sign answers "<key id>.<signature>".
func (k *Key) Sign(message []byte) string {
	return k.Public().ID() + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(k.private, message))
}

// Load reads a private key.
func Load(path string) (*Key, error) {
	der, err := block(path, "PRIVATE KEY")
	if err != nil {
		return nil, fmt.Errorf("reading signing key: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("reading signing key %s: %w", path, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("reading signing key %s: it is no Ed25519 key", path)
	}
	return &Key{private}, nil
}

// LoadPublic reads a public key.
func LoadPublic(path string) (Public, error) {
	der, err := block(path, "PUBLIC KEY")
	if err != nil {
		return nil, fmt.Errorf("reading public key: %w", err)
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("reading public key %s: %w", path, err)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("reading public key %s: it is no Ed25519 key", path)
	}
	return Public(public), nil
}

func block(path, kind string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	b, _ := pem.Decode(text)
	if b == nil || b.Type != kind {
		return nil, fmt.Errorf("%s holds no %s in PEM", path, strings.ToLower(kind))
	}
	return b.Bytes, nil
}

// New makes a key in a file that must not exist yet (mode 0600), and its public half beside
// it, with .pub at the end.
func New(path string) (*Key, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("making signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encoding signing key: %w", err)
	}
	text, err := Public(public).PEM()
	if err != nil {
		return nil, err
	}
	// The public half first: a crash in between leaves no key that nobody can check.
	if err := put(path+".pub", text, 0o644); err != nil {
		return nil, fmt.Errorf("writing public key: %w", err)
	}
	if err := put(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return nil, fmt.Errorf("writing signing key: %w", err)
	}
	return &Key{private}, nil
}

// put writes a file that appears whole, and only if there is none.
func put(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".signing-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // a private file more, at worst
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), path)
}

// Ring is whose signatures are believed: the public keys in a directory, and some more. The
// directory is read each time, which is a few small files beside an op that takes seconds: a
// key that is put there counts at once, and one that is taken away does not any more.
type Ring struct {
	Dir  string // of *.pub files; "" is none
	More []Public
}

// Verify implements queue.Verifier.
func (r Ring) Verify(message []byte, signature string) error {
	id, text, _ := strings.Cut(signature, ".")
	sum, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(sum) != ed25519.SignatureSize {
		return queue.ErrForged
	}
	keys, err := r.Keys()
	for _, key := range keys {
		if key.ID() != id {
			continue
		}
		if !ed25519.Verify(ed25519.PublicKey(key), message, sum) {
			return queue.ErrForged
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; %w", queue.ErrUnknownSigner, err)
	}
	return fmt.Errorf("%w: %.16q", queue.ErrUnknownSigner, id)
}

// Keys are all that are believed. Beside an error about files that cannot be read are those
// of the others: one bad file must not stop a node.
func (r Ring) Keys() ([]Public, error) {
	all := append([]Public(nil), r.More...)
	if r.Dir == "" {
		return all, nil
	}
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return all, fmt.Errorf("listing public keys: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".pub") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		key, err := LoadPublic(filepath.Join(r.Dir, e.Name()))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, key)
	}
	return all, errors.Join(errs...)
}

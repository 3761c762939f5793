package golden

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // what WordPress had before 6.8, and still understands
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Hashes of passwords, by how they begin: since 6.8 bcrypt of an HMAC (wp_hash_password),
// before that phpass's portable form (class-phpass.php).
const (
	beginBcrypt = "$wp$2y$"
	beginPhpass = "$P$"
	keyBcrypt   = "wp-sha384"
)

// maxCost is the highest cost of bcrypt that is followed, a second about: who wrote the hash
// may want it to take for ever. PHP's own has been 10, and 12 since 8.4.
const maxCost = 14

// ErrHash says that a hash is of a kind that is not known here.
var ErrHash = errors.New("unknown kind of password hash")

// Hash hashes a password as the WordPress does that has made the hash like, at the same cost.
func Hash(like, password string) (string, error) {
	password = phpTrim(password)
	if strings.HasPrefix(like, beginBcrypt) {
		cost, err := bcrypt.Cost([]byte(like[len("$wp"):]))
		if err != nil || cost > maxCost {
			return "", fmt.Errorf("hashing password: %w: %.10s", ErrHash, like)
		}
		made, err := bcrypt.GenerateFromPassword(prehashed(password), cost)
		if err != nil {
			return "", fmt.Errorf("hashing password: %w", err)
		}
		return beginBcrypt + strings.TrimPrefix(string(made), "$2a$"), nil // the same algorithm
	}
	salt := make([]byte, 6)
	_, _ = rand.Read(salt) // never fails
	return phpass(like, encode64(salt), password)
}

// Matches tells whether a hash is of a password; false when its kind is not known.
func Matches(hash, password string) bool {
	password = phpTrim(password)
	if strings.HasPrefix(hash, beginBcrypt) {
		cost, err := bcrypt.Cost([]byte(hash[len("$wp"):]))
		return err == nil && cost <= maxCost && bcrypt.CompareHashAndPassword([]byte(hash[len("$wp"):]), prehashed(password)) == nil
	}
	if len(hash) < 12 {
		return false
	}
	made, err := phpass(hash, hash[4:12], password)
	return err == nil && hmac.Equal([]byte(made), []byte(hash))
}

// prehashed keeps bcrypt from cutting off what is longer than 72 bytes.
func prehashed(password string) []byte {
	mac := hmac.New(sha512.New384, []byte(keyBcrypt))
	mac.Write([]byte(password))
	return []byte(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

const itoa64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// phpass is crypt_private of class-phpass.php, with the number of rounds of like.
func phpass(like, salt, password string) (string, error) {
	if !strings.HasPrefix(like, beginPhpass) || len(like) < 4 || len(salt) != 8 {
		return "", fmt.Errorf("hashing password: %w: %.3s", ErrHash, like)
	}
	rounds := strings.IndexByte(itoa64, like[3])
	if rounds < 7 || rounds > 20 {
		return "", fmt.Errorf("hashing password: %w: %.4s", ErrHash, like)
	}
	sum := md5.Sum([]byte(salt + password)) //nolint:gosec // see above
	for range 1 << rounds {
		sum = md5.Sum(append(sum[:], password...)) //nolint:gosec // see above
	}
	return like[:4] + salt + encode64(sum[:]), nil
}

// encode64 is phpass's base 64: three bytes are four letters, the lowest bits first.
func encode64(in []byte) string {
	var out strings.Builder
	for i := 0; i < len(in); i += 3 {
		value, n := 0, min(3, len(in)-i)
		for k := range n {
			value |= int(in[i+k]) << (8 * k)
		}
		for k := range n + 1 {
			out.WriteByte(itoa64[value>>(6*k)&63])
		}
	}
	return out.String()
}

// phpTrim is PHP's trim.
func phpTrim(s string) string { return strings.Trim(s, " \t\n\r\x00\x0b") }

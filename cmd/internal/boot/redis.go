package boot

import (
	"fmt"
	"os"
	"strings"
)

// Redis is how a process reaches Redis. The password comes from a file, so that
// it is neither in the process list nor in the environment.
type Redis struct {
	RedisURL          string `help:"redis://, rediss://, redis+sentinel://h1,h2/master or redis+cluster://h1,h2." default:"redis://127.0.0.1:6379/0" placeholder:"URL"`
	RedisUsername     string `help:"Redis ACL user." placeholder:"NAME"`
	RedisPasswordFile string `help:"File that holds the Redis password." placeholder:"FILE"`
}

// Password reads the password file; empty without one.
func (r Redis) Password() (string, error) {
	return ReadSecret("--redis-password-file", r.RedisPasswordFile)
}

// ReadSecret returns the first line of a secret's file; empty when path is.
func ReadSecret(flag, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", flag, err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimRight(line, "\r"), nil
}

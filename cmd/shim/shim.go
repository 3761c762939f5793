package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/cmd/internal/verdict"
	"github.com/wispanel/wptk/wp"
)

// shim is one run.
type shim struct {
	config verdict.ShimConfig
	path   string // of WordPress
	domain string
	url    string
	verb   string
	flags  map[string]string // behind the verb
	words  []string
	id     string
	lock   *os.File // held while it runs: whoever cannot have it runs beside it
}

// open reads what it was started for: the arguments that wp.CLI gives to PHP.
func open(args []string) (*shim, error) {
	s := &shim{verb: os.Getenv("WPTK_COMMAND"), id: uuid.NewString(), flags: map[string]string{}}
	own, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(own), "shim.json"))
	if err != nil {
		return nil, fmt.Errorf("reading what to do: %w", err)
	}
	if err := json.Unmarshal(raw, &s.config); err != nil {
		return nil, fmt.Errorf("reading what to do: %w", err)
	}
	at := slices.IndexFunc(args, func(a string) bool { return strings.HasSuffix(a, ".phar") })
	for _, arg := range args[at+1:] {
		name, value, _ := strings.Cut(arg, "=")
		switch {
		case name == "--path":
			s.path = value
		case name == "--url":
			s.url = value
		case strings.HasPrefix(arg, "--"):
			s.flags[name] = value
		default:
			s.words = append(s.words, arg)
		}
	}
	if u, err := url.Parse(s.url); err == nil {
		s.domain = u.Hostname()
	}
	return s, nil
}

// run does the command between two lines of the log.
func (s *shim) run() error {
	if len(s.words) >= 2 && s.words[0] == "cli" && s.words[1] == "info" {
		fmt.Println(`{"php_version":"8.2.0","wp_cli_version":"2.12.0"}`)
		return nil
	}
	if err := s.begin(); err != nil {
		return err
	}
	out, err := s.command()
	if err == nil {
		nonce := os.Getenv("WPTK_NONCE")
		fmt.Printf("\n<<wptk %s\n%s\nwptk>> %s\n", nonce, out, nonce)
	}
	return errors.Join(err, s.note(verdict.Fact{What: verdict.End, Run: s.id}))
}

func (s *shim) begin() error {
	f, err := os.OpenFile(filepath.Join(s.config.Sites, filepath.Base(s.domain)), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return fmt.Errorf("opening lock of the site: %w", err)
	}
	s.lock = f
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("locking site: %w", err)
	}
	fact := verdict.Fact{What: verdict.Begin, Run: s.id, PID: os.Getpid(), Domain: s.domain, Verb: s.verb, Contended: err != nil}
	// While it is built, a site stands in a stage that is named after its op.
	if stage := strings.TrimPrefix(filepath.Base(s.path), wp.StageName("")); strings.HasPrefix(stage, "op_") {
		fact.Op = stage
	}
	if err := s.note(fact); err != nil {
		return err
	}
	<-time.After(time.Duration(s.config.Millis[s.verb]) * time.Millisecond)
	return nil
}

// note appends a line, whole: O_APPEND of less than a page.
func (s *shim) note(f verdict.Fact) error {
	f.Millis = verdict.Clock()
	line, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encoding fact: %w", err)
	}
	log, err := os.OpenFile(s.config.Log, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("opening log: %w", err)
	}
	defer log.Close()
	if _, err := log.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing log: %w", err)
	}
	return nil
}

func (s *shim) command() (out string, err error) {
	switch s.verb {
	case "core install":
		if err := s.misbehave(); err != nil {
			return "", err
		}
		return s.install()
	case "option get":
		value, err := s.option(s.words[len(s.words)-1])
		return strconv.Quote(value), err
	case "wptk check-password":
		return s.checkPassword()
	}
	return "", fmt.Errorf("the stand-in does not know wp %s", s.verb)
}

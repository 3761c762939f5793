package wptest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SFTP is an SSH server on loopback that offers sftp alone, to one user with one key.
type SFTP struct {
	Dir        string // what it shows, absolute
	URL        string // restic's address of it
	KeyFile    string // the user's private key
	KnownHosts string // file that has the server's host key
	Strangers  string // file that has another host key for the same address
}

// NewSFTP starts one.
func NewSFTP(t testing.TB) SFTP {
	t.Helper()
	keys := t.TempDir()
	s := SFTP{Dir: t.TempDir(), KeyFile: filepath.Join(keys, "id"), KnownHosts: filepath.Join(keys, "known_hosts"), Strangers: filepath.Join(keys, "strangers")}
	host, user, other := newSigner(t, ""), newSigner(t, s.KeyFile), newSigner(t, "")
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(user.PublicKey().Marshal()) {
			return nil, errors.New("unknown key")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	s.URL = "sftp://backup@" + addr + "/" + s.Dir
	for file, key := range map[string]ssh.PublicKey{s.KnownHosts: host.PublicKey(), s.Strangers: other.PublicKey()} {
		if err := os.WriteFile(file, []byte(knownhosts.Line([]string{knownhosts.Normalize(addr)}, key)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			serving.Go(func() { serveSFTP(conn, config) })
		}
	})
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Errorf("closing sftp server: %v", err)
		}
		serving.Wait()
	})
	return s
}

// newSigner makes a key, and keeps it in a file that ssh reads.
func newSigner(t testing.TB, file string) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if file != "" {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// serveSFTP serves one connection until the client closes it. What goes wrong is the client's
// to tell.
func serveSFTP(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, asked, err := offered.Accept()
		if err != nil {
			return
		}
		go serveSession(channel, asked)
	}
}

func serveSession(channel ssh.Channel, asked <-chan *ssh.Request) {
	defer channel.Close() //nolint:errcheck // the client has what it wants, or is gone
	for req := range asked {
		isSFTP := req.Type == "subsystem" && string(req.Payload[4:]) == "sftp"
		_ = req.Reply(isSFTP, nil)
		if !isSFTP {
			continue
		}
		server, err := sftp.NewServer(channel)
		if err == nil {
			err = server.Serve()
		}
		status := []byte{0, 0, 0, 0}
		if err != nil && !errors.Is(err, io.EOF) {
			fmt.Fprintln(channel.Stderr(), err)
			status[3] = 1
		}
		_, _ = channel.SendRequest("exit-status", false, status) // restic wants to know how it ended
		return
	}
}

package devstack

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// child is one life of a server's process. Its supervisor (see wp/proc) ends it when our
// own process is gone, so no server outlives the program that wanted it.
type child struct {
	*proc.Process
}

// grace is what a server gets to write down what it knows; both need far less.
const grace = 15 * time.Second

func startChild(ctx context.Context, path string, args []string, dir string, log *os.File, as owner) (*child, error) {
	// The context of a start must not end the server's life.
	p, err := proc.Start(context.WithoutCancel(ctx), spec(path, args, dir, log, as))
	if err != nil {
		return nil, err
	}
	return &child{p}, nil
}

// runTool runs a program to its end; a status other than 0 is an error.
func runTool(ctx context.Context, path string, args []string, dir string, out io.Writer, as owner) error {
	exit, err := proc.Run(ctx, spec(path, args, dir, out, as))
	if err != nil {
		return err
	}
	if exit.Code != 0 {
		return fmt.Errorf("running %s: exit status %d", path, exit.Code)
	}
	return nil
}

func spec(path string, args []string, dir string, out io.Writer, as owner) proc.Spec {
	return proc.Spec{
		Path: path, Args: args, Dir: dir, Stdout: out, Stderr: out,
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"HOME=" + dir, "LC_ALL=C", "TZ=UTC",
		},
		As:      proc.Identity{UID: as.uid, GID: as.gid},
		Trusted: true, // servers of our own, and their accounts are system accounts
		Grace:   grace,
	}
}

func (c *child) alive() bool {
	select {
	case <-c.Done():
		return false
	default:
		return true
	}
}

// end kills the server and waits until it is gone.
func (c *child) end() {
	c.Kill()
	<-c.Done()
}

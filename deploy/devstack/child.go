package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

type child struct {
	cmd  *exec.Cmd
	done chan struct{}
}

const grace = 15 * time.Second

func startChild(_ context.Context, path string, args []string, dir string, log *os.File, as owner) (*child, error) {
	c := exec.Command(path, args...)
	c.Env, c.Dir, c.Stdout, c.Stderr = childEnv(dir), dir, log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if as.set {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: as.uid, Gid: as.gid}
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("running %s: %w", path, err)
	}
	ch := &child{cmd: c, done: make(chan struct{})}
	go func() { c.Wait(); close(ch.done) }()
	return ch, nil
}

func childEnv(home string) []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + home, "LC_ALL=C", "TZ=UTC"}
}

func (c *child) pid() int { return c.cmd.Process.Pid }
func (c *child) alive() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}
func (c *child) signal(sig syscall.Signal) error { return c.cmd.Process.Signal(sig) }
func (c *child) kill() error {
	if err := c.signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-c.done
	return nil
}
func (c *child) stop() error {
	if err := c.signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-time.After(grace):
		return c.kill()
	}
}

func runTool(ctx context.Context, path string, args []string, dir string, out io.Writer, as owner) error {
	c := exec.CommandContext(ctx, path, args...)
	c.Env, c.Dir, c.Stdout, c.Stderr = childEnv(dir), dir, out, out
	if as.set {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: as.uid, Gid: as.gid}}
	}
	if err := c.Run(); err != nil {
		return fmt.Errorf("running %s: %w", path, err)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/wispanel/wptk/deploy/devstack"
)

// workerArgs is how the worker is started, each time alike.
type workerArgs struct {
	path string
	args []string
}

const chaosNode = "chaos"

// up starts everything; a domain is made for each of the installs that may be needed.
func (c *chaos) up(ctx context.Context, domains int) error {
	bins, err := c.programs(ctx)
	if err != nil {
		return err
	}
	if err := c.makeTenant(ctx, domains); err != nil {
		return err
	}
	if err := c.stack.servers(ctx); err != nil {
		return err
	}
	if c.key, err = c.stack.makeKey(ctx, c.log); err != nil {
		return err
	}
	if err := c.stack.processes(ctx, bins, nil, !c.root); err != nil { // the API alone
		return err
	}
	if c.stack.client, err = newClient(c.stack.apiURL(), c.key); err != nil {
		return err
	}
	if err := c.stack.await(ctx, "the API", c.stack.readyz); err != nil {
		return err
	}
	if c.worker, err = c.workerArgs(bins); err != nil {
		return err
	}
	if err := c.startWorker(); err != nil {
		return err
	}
	return c.stack.await(ctx, "the node", func(ctx context.Context) error {
		return errors.Join(c.dead(), c.stack.nodesUp(ctx, c.sites[:1]))
	})
}

// makeTenant makes one account with many domains, which share a port: one of them is
// served at a time.
func (c *chaos) makeTenant(ctx context.Context, domains int) error {
	first := &demoSite{node: chaosNode, account: newUserName(), domain: domainOf(0), title: titleOf(0)}
	if err := os.Mkdir(c.state.dir("log"), 0o700); err != nil {
		return fmt.Errorf("making the folder for logs: %w", err)
	}
	if err := os.WriteFile(c.state.dir("router.php"), router, 0o644); err != nil {
		return fmt.Errorf("writing router: %w", err)
	}
	if err := c.makeSite(ctx, first); err != nil {
		return fmt.Errorf("making the tenant: %w", err)
	}
	c.sites = append(c.sites, first)
	for i := 1; i < domains; i++ {
		s := *first
		s.held, s.domain, s.title = nil, domainOf(i), titleOf(i)
		// Nothing of the tenant's has run yet, so its directory can be trusted.
		if err := makeDir(s.homeDir(), 0o711); err != nil {
			return err
		}
		if c.root {
			if err := os.Lchown(s.homeDir(), int(s.user.UID), int(s.user.GID)); err != nil {
				return fmt.Errorf("handing a directory to the tenant: %w", err)
			}
		}
		c.sites = append(c.sites, &s)
	}
	return nil
}

func domainOf(round int) string { return fmt.Sprintf("r%02d.localhost", round) }
func titleOf(round int) string  { return fmt.Sprintf("Chaos & Order %d", round) }

func (c *chaos) workerArgs(bins binaries) (workerArgs, error) {
	packages, err := devstack.Cache()
	if err != nil {
		return workerArgs{}, err
	}
	php, err := program("php")
	if err != nil {
		return workerArgs{}, err
	}
	site := c.sites[0]
	args := []string{
		"--node", chaosNode, "--state-dir", c.state.dir(chaosNode, "state"),
		"--sites", c.state.dir(chaosNode, "home") + "/*/domains/*", "--site-url", "http://{domain}:" + strconv.Itoa(site.port),
		"--redis-url", "redis://" + c.stack.redis.Addr + "/0", "--redis-password-file", c.state.dir("redis-password"),
		"--mysql-dsn-file", c.state.dir("mysql-dsn"), "--db-host", "localhost:" + c.stack.mariadb.Socket,
		"--packages", packages, "--php", php, "--metrics-listen", "",
	}
	args = append(args, c.stack.believes()...)
	if !c.root {
		args = append(args, "--as-invoker")
	}
	return workerArgs{path: bins.worker, args: args}, nil
}

func (c *chaos) startWorker() (err error) {
	c.victim, err = startVictim(c.worker.path, c.worker.args, c.state.dir(), c.state.dir("log", "worker-"+chaosNode+".log"))
	return err
}

// dead reports a worker that has ended by itself.
func (c *chaos) dead() error {
	select {
	case <-c.victim.ended:
		return errors.New("the worker ended by itself")
	default:
		return nil
	}
}

// serveSite puts PHP in front of a site while fn looks at it.
func (c *chaos) serveSite(ctx context.Context, s *demoSite, fn func() error) (err error) {
	c.sites[0].release() // whose held port it is
	p, err := c.stack.startSite(ctx, s)
	if p != nil {
		defer func() { err = errors.Join(err, c.stack.retire(p)) }()
	}
	if err != nil {
		return err
	}
	return fn()
}

// retire stops a process that is no longer wanted.
func (s *stack) retire(p *process) error {
	s.mu.Lock()
	for i, other := range s.running {
		if other == p {
			s.running = append(s.running[:i], s.running[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	return p.Stop(context.Background())
}

// takeDown ends the worker and then all that the demo's part has started.
func (c *chaos) takeDown() error {
	var err error
	if c.victim != nil {
		err = c.victim.end(syscall.SIGTERM)
	}
	return errors.Join(err, c.down(false))
}

// keepArtefacts copies what explains a failure to where it outlives the run.
func (c *chaos) keepArtefacts() error {
	for name, path := range map[string]string{
		"log": c.state.dir("log"), "journal": c.state.dir(chaosNode, "state", "journal"), "runs": c.state.dir(chaosNode, "state", "runs"),
	} {
		err := os.CopyFS(filepath.Join(c.history.dir, name), os.DirFS(path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keeping %s: %w", name, err)
		}
	}
	return nil
}

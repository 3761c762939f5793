package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/wp/proc"
)

// stack is everything that runs: servers, the API, the workers, the sites' PHP.
type stack struct {
	state  *runState
	client *client // with the demo's key

	redis, mariadb *devstack.Server
	apiAddr        string // host:port
	metrics        string // the same of its metrics
	store          string // of backups, a directory; of the first node, and all others use it

	mu      sync.Mutex
	running []*process
}

// process is one of our programs, or a site's PHP.
type process struct {
	name string
	*proc.Process
}

func newStack(state *runState) *stack { return &stack{state: state} }

// servers starts Redis and MariaDB at the same time.
func (s *stack) servers(ctx context.Context) error {
	var errRedis, errMariaDB error
	var wg sync.WaitGroup
	wg.Go(func() { s.redis, errRedis = devstack.Redis(ctx, devstack.RedisOptions{Dir: s.state.dir("redis")}) })
	wg.Go(func() {
		s.mariadb, errMariaDB = devstack.MariaDB(ctx, devstack.MariaDBOptions{Dir: s.state.dir("mariadb")})
	})
	wg.Wait()
	return errors.Join(errRedis, errMariaDB)
}

// demoRate is what the demo's key may ask in a minute.
const demoRate = 6000

// makeKey makes the demo's admin key, as `wptk keys create` does.
func (s *stack) makeKey(ctx context.Context, log *slog.Logger) (string, error) {
	store, err := s.open(ctx, s.redis.URL(0), log)
	if err != nil {
		return "", err
	}
	defer store.Close() //nolint:errcheck // only reads from here on
	_, secret, err := queue.NewClient(store).CreateKey(ctx, queue.NewKey{
		Name: "demo", Owner: "demo", Role: queue.RoleAdmin, RateLimit: demoRate})
	if err != nil {
		return "", fmt.Errorf("making a key: %w", err)
	}
	return secret, s.secret("api-key", secret)
}

// secret puts a secret into a file, so that it is in no process list.
func (s *stack) secret(name, value string) error {
	if err := os.WriteFile(s.state.dir(name), []byte(value+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// processes starts the API and a worker for each node.
func (s *stack) processes(ctx context.Context, bins binaries, sites []*demoSite, invoker bool) error {
	if err := errors.Join(s.secret("redis-password", s.redis.Password), s.secret("mysql-dsn", s.mariadb.DSN()), s.login(ctx, queue.APILogin(""))); err != nil {
		return err
	}
	addrs, err := freeAddrs(2)
	if err != nil {
		return err
	}
	s.apiAddr, s.metrics = addrs[0], addrs[1]
	_, err = s.run("api", bins.api, append([]string{"--listen", addrs[0], "--metrics-listen", addrs[1],
		"--secrets-key-file", s.state.dir("api.age")}, append(s.signs(), s.redisArgs("api")...)...))
	if err != nil {
		return err
	}
	for _, site := range sites {
		if err := s.worker(bins, site, invoker); err != nil {
			return err
		}
	}
	return nil
}

// worker starts the worker of a site's node.
func (s *stack) worker(bins binaries, site *demoSite, invoker bool, more ...string) error {
	packages, err := devstack.Cache()
	if err != nil {
		return err
	}
	php, err := program("php")
	if err != nil {
		return err
	}
	login, err := queue.NodeLogin("", site.node)
	if err == nil {
		err = s.login(context.Background(), login)
	}
	if err != nil {
		return err
	}
	args := append([]string{"--node", site.node, "--state-dir", s.state.dir(site.node, "state"),
		"--sites", s.state.dir(site.node, "home") + "/*/domains/*", "--site-url", "http://{domain}:" + strconv.Itoa(site.port),
		"--mysql-dsn-file", s.state.dir("mysql-dsn"), "--db-host", "localhost:" + s.mariadb.Socket,
		"--packages", packages, "--php", php, "--metrics-listen", site.metrics}, append(s.believes(), s.redisArgs(login.Name)...)...)
	if invoker {
		args = append(args, "--as-invoker")
	}
	backups, err := s.backups(site)
	if err != nil {
		return err
	}
	_, err = s.run("worker-"+site.node, bins.worker, append(append(args, backups...), more...))
	return err
}

// backups gives a node the store that all of them share, if this machine has restic.
func (s *stack) backups(site *demoSite) ([]string, error) {
	if _, err := program("restic"); err != nil {
		return nil, nil //nolint:nilerr // the toolkit works without
	}
	if s.store == "" {
		s.store = s.state.dir(site.node, "backups")
	}
	dir := s.store
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the backup store: %w", err)
	}
	key := s.state.dir("backup-key")
	if _, err := os.Stat(key); err != nil {
		if err := s.secret("backup-key", rand.Text()+rand.Text()); err != nil {
			return nil, err
		}
	}
	return []string{"--backups", dir, "--backup-key-file", key, "--backup-listen", "127.0.0.1:0"}, nil
}

// run starts one of our programs.
func (s *stack) run(name, path string, args []string) (*process, error) {
	return s.launch(name, proc.Spec{Path: path, Args: args, Dir: s.state.dir(), Env: toolEnv, Trusted: true})
}

// startSite puts PHP's own web server in front of a site, as the site's user. It is
// tenant code that runs there, so it has the identity and the limits of a tenant.
func (s *stack) startSite(ctx context.Context, site *demoSite) (*process, error) {
	php, err := program("php")
	if err != nil {
		return nil, err
	}
	docroot := site.docroot()
	site.release()
	p, err := s.launch("php-"+site.domain, proc.Spec{
		// What an operation changes is seen by the next request.
		Path: php, Args: []string{"-d", "opcache.revalidate_freq=0", "-S", site.phpAddr(), "-t", docroot, s.state.dir("router.php")}, Dir: docroot,
		// Several workers: WordPress calls itself now and then (cron, site health).
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + site.root, "TMPDIR=" + site.tmp(), "LC_ALL=C.UTF-8", "PHP_CLI_SERVER_WORKERS=3"},
		As:  site.user, Grace: time.Second,
	})
	if err != nil {
		return nil, err
	}
	return p, s.await(ctx, "PHP of "+site.domain, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", site.phpAddr())
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (s *stack) launch(name string, spec proc.Spec) (*process, error) {
	log, err := os.OpenFile(s.state.dir("log", name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening log of %s: %w", name, err)
	}
	defer log.Close()
	spec.Stdout, spec.Stderr, spec.Started = log, log, s.state.started
	if spec.Grace == 0 {
		spec.Grace = 15 * time.Second
	}
	// Not the caller's context: the process outlives the phase that starts it.
	running, err := proc.Start(context.Background(), spec)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{name, running}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = append(s.running, p)
	return p, nil
}

func (s *stack) all() []*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.running)
}

// forget has a process that was stopped on purpose no longer count as one that ended by itself.
func (s *stack) forget(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = slices.DeleteFunc(s.running, func(q *process) bool { return q == p })
}

// endedError says which process ended by itself.
type endedError struct {
	name string
	exit proc.Exit
}

func (e *endedError) Error() string {
	if e.exit.Signal != 0 {
		return fmt.Sprintf("%s ended by itself (%v)", e.name, e.exit.Signal)
	}
	return fmt.Sprintf("%s ended by itself (exit status %d)", e.name, e.exit.Code)
}

// ended reports a process that is no longer there.
func (s *stack) ended() error {
	for _, p := range s.all() {
		select {
		case <-p.Done():
			exit, err := p.Wait()
			return errors.Join(&endedError{p.name, exit}, err)
		default:
		}
	}
	return nil
}

// await asks until there is no error. A process that ends meanwhile ends the waiting.
func (s *stack) await(ctx context.Context, what string, ask func(context.Context) error) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		last := ask(ctx)
		if last == nil {
			return nil
		}
		if err := s.ended(); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, errors.Join(ctx.Err(), last))
		case <-tick.C:
		}
	}
}

// untilDone returns when the user is done, or when something has ended by itself.
func (s *stack) untilDone(ctx context.Context) error {
	ended := make(chan struct{}, 1)
	for _, p := range s.all() {
		go func() {
			<-p.Done()
			select {
			case ended <- struct{}{}:
			default:
			}
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case <-ended:
		return s.ended()
	}
}

func (s *stack) apiURL() string { return "http://" + s.apiAddr }

func (s *stack) readyz(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.apiURL()+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", res.Status)
	}
	return nil
}

// nodesUp reports which of the sites' nodes is not up yet.
func (s *stack) nodesUp(ctx context.Context, sites []*demoSite) error {
	nodes, _, err := s.client.nodes(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, site := range sites {
		if !slices.ContainsFunc(nodes, func(n node) bool { return n.ID == site.node && n.State == "up" }) {
			missing = append(missing, site.node)
		}
	}
	if missing != nil {
		return fmt.Errorf("not up: %s", strings.Join(missing, ", "))
	}
	return nil
}

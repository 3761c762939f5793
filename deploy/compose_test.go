package deploy_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"gopkg.in/yaml.v3"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/wp/proc"
)

// composeFile is the part of the Compose specification that the promises below are about.
type composeFile struct {
	Services map[string]composeService `yaml:"services"`
	Secrets  map[string]struct{ File string }
	Volumes  map[string]any
}

type composeService struct {
	Image string
	Build struct{ Context, Dockerfile string }
	Ports []string

	Volumes     []string
	Secrets     []string
	SecurityOpt []string `yaml:"security_opt"`
	CapDrop     []string `yaml:"cap_drop"`
	Environment map[string]string
	Healthcheck struct{ Test []string }
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
}

func compose(t *testing.T) composeFile {
	t.Helper()
	b, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	if err := yaml.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Services) == 0 {
		t.Fatal("no services")
	}
	return c
}

func inRepo(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join("..", path)); err != nil {
		t.Errorf("docker-compose.yml names %s: %v", path, err)
	}
}

var pinned = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?(@sha256:[0-9a-f]{64})?$`)

func TestEveryComposeServiceIsPinnedHardenedAndWatched(t *testing.T) {
	t.Parallel()
	for name, s := range compose(t).Services {
		if (s.Image == "") == (s.Build.Dockerfile == "") {
			t.Errorf("%s: needs an image or a Dockerfile", name)
		}
		if s.Image != "" && !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %s has no exact version", name, s.Image)
		}
		if len(s.Healthcheck.Test) < 2 {
			t.Errorf("%s: no health check", name)
		}
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || !slices.Contains(s.CapDrop, "ALL") {
			t.Errorf("%s: may gain privileges", name)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to the network", name, port)
			}
		}
		for key, value := range s.Environment {
			if strings.Contains(strings.ToLower(key), "password") && !strings.HasPrefix(value, "/run/secrets/") {
				t.Errorf("%s: %s is not a file", name, key)
			}
		}
	}
}

func TestComposeNamesOnlyWhatExists(t *testing.T) {
	t.Parallel()
	c := compose(t)
	for name, s := range c.Services {
		if s.Build.Dockerfile != "" {
			inRepo(t, filepath.Join(s.Build.Context, s.Build.Dockerfile))
		}
		for on, d := range s.DependsOn {
			if _, ok := c.Services[on]; !ok || d.Condition != "service_healthy" {
				t.Errorf("%s: depends on %s, %q", name, on, d.Condition)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(source, "./") {
				inRepo(t, source)
			} else if _, ok := c.Volumes[source]; !ok && !strings.HasPrefix(source, "${") {
				t.Errorf("%s: volume %s is not declared", name, source)
			}
		}
		for _, secret := range s.Secrets {
			if _, ok := c.Secrets[secret]; !ok {
				t.Errorf("%s: secret %s is not declared", name, secret)
			}
		}
	}
}

func TestDockerfilesBuildFromExactVersionsAndExistingFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("Dockerfile.*")
	if err != nil || len(files) == 0 {
		t.Fatalf("Dockerfiles: %v, %v", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			switch {
			case len(fields) > 1 && fields[0] == "FROM" && !pinned.MatchString(fields[1]):
				t.Errorf("%s: %s has no exact version", file, fields[1])
			case len(fields) == 3 && fields[0] == "COPY" && fields[1] != "." && !strings.HasPrefix(fields[1], "-"):
				inRepo(t, fields[1])
			}
		}
	}
	pins, err := os.ReadFile("setup/pins.sh")
	if err != nil {
		t.Fatal(err)
	}
	node, err := os.ReadFile("Dockerfile.node")
	if err != nil {
		t.Fatal(err)
	}
	sum := regexp.MustCompile(`(?m)^wp_cli_sha512=([0-9a-f]{128})$`).FindSubmatch(pins)
	if sum == nil || !strings.Contains(string(node), "WP_CLI_SHA512="+string(sum[1])+"\n") {
		t.Error("Dockerfile.node and setup/pins.sh disagree about WP-CLI's checksum")
	}
}

// composeSecrets runs compose-secrets.sh in a copy of deploy and returns the folder.
func composeSecrets(t *testing.T) (again func() string, secrets string) {
	t.Helper()
	dir := openTempDir(t)
	b, err := os.ReadFile("compose-secrets.sh")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "compose-secrets.sh")
	if err := os.WriteFile(script, b, 0o755); err != nil {
		t.Fatal(err)
	}
	again = func() string {
		code, out := run(t, proc.Spec{Path: "/bin/bash", Args: []string{script}, Env: []string{"PATH=/usr/bin:/bin"}, Trusted: true})
		if code != 0 {
			t.Fatalf("status %d:\n%s", code, out)
		}
		return out
	}
	again()
	return again, filepath.Join(dir, "secrets")
}

func TestComposeSecretsAreMadeOnceAndClosed(t *testing.T) {
	t.Parallel()
	again, dir := composeSecrets(t)
	contents := func() map[string]string {
		m := map[string]string{}
		for name := range compose(t).Secrets {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if len(b) < 32 {
				t.Errorf("%s holds %d bytes", name, len(b))
			}
			m[name] = string(b)
		}
		return m
	}
	before := contents()
	out := again()
	for name, was := range contents() {
		if was != before[name] {
			t.Errorf("%s changed on the second run", name)
		}
		if strings.Contains(out, was) {
			t.Errorf("%s is printed", name)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
	for name, s := range compose(t).Secrets {
		if want := "./deploy/secrets/" + name; s.File != want {
			t.Errorf("secret %s is %s, the script makes %s", name, s.File, want)
		}
	}
	for _, name := range compose(t).Services["worker"].Secrets {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o400 && !strings.HasSuffix(name, ".pub") {
			t.Errorf("%s can be read by tenants: %v", name, err)
		}
	}
}

// The real Redis with the configuration and the access list of the Compose stack.
func TestComposeRedisServesTheToolkitAndRefusesAdministration(t *testing.T) {
	t.Parallel()
	_, secrets := composeSecrets(t)
	acl, err := os.ReadFile(filepath.Join(secrets, "redis_acl"))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(filepath.Join(secrets, "redis_password"))
	if err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile("redis/redis.conf")
	if err != nil {
		t.Fatal(err)
	}
	// The same configuration, with the access list's lines in place of the path to it.
	lines := strings.Replace(string(conf), "aclfile /run/secrets/redis_acl", strings.TrimSpace(string(acl)), 1)
	lines = strings.Replace(lines, "user default reset off\n", "", 1) // whoever starts this one logs in by it
	s := devstack.RedisT(t, devstack.RedisOptions{Extra: strings.Split(lines, "\n")})
	store, err := queue.Open(t.Context(), queue.Options{URL: "redis://" + s.Addr, Username: "api", Password: string(secret)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	ctx := t.Context()
	c := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "api", Password: string(secret)})
	t.Cleanup(func() { c.Close() })
	for _, cmd := range [][]any{
		{"FLUSHALL"}, {"CONFIG", "SET", "appendonly", "no"}, {"SHUTDOWN"}, {"BGREWRITEAOF"}, {"KEYS", "*"},
		{"ACL", "LIST"}, {"REPLICAOF", "127.0.0.1", 1}, {"MONITOR"}, {"GET", "of another program"},
	} {
		if err := c.Do(ctx, cmd...).Err(); err == nil || !strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("%v: %v", cmd, err)
		}
	}
	administrator := redisClient(t, s)
	want := map[string]string{"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "always"}
	for key, value := range want {
		if got := administrator.ConfigGet(ctx, key).Val()[key]; got != value {
			t.Errorf("%s is %q", key, got)
		}
	}
}

// What the script has written down is what the generator makes.
func TestComposeAccessListIsTheGenerators(t *testing.T) {
	t.Parallel()
	_, secrets := composeSecrets(t)
	acl, err := os.ReadFile(filepath.Join(secrets, "redis_acl"))
	if err != nil {
		t.Fatal(err)
	}
	node, err := queue.NodeLogin("", compose(t).Services["worker"].Environment["WPTK_NODE"])
	if err != nil {
		t.Fatal(err)
	}
	want := "user default reset off\n"
	for _, l := range []queue.Login{node, queue.APILogin(""), queue.MonitorLogin()} {
		want += "user " + l.Rules(queue.ACL70) + " #\n"
	}
	if got := regexp.MustCompile("#[0-9a-f]{64}\n").ReplaceAllString(string(acl), "#\n"); got != want {
		t.Errorf("redis_acl is\n%s\nwant\n%s", got, want)
	}
	if user := compose(t).Services["worker"].Environment["WPTK_REDIS_USERNAME"]; user != node.Name {
		t.Errorf("the node logs in as %q", user)
	}
}

func redisClient(t *testing.T, s *devstack.Server) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr, Password: s.Password})
	t.Cleanup(func() { c.Close() })
	return c
}

package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/cmd/internal/signing"
	"github.com/wispanel/wptk/wp"
)

// Config is every setting of the worker.
type Config struct {
	boot.Base
	boot.Redis
	signing.Trust

	Node     string `help:"This node's id, for ever: a-z, 0-9, dot and dash." required:"" placeholder:"ID"`
	StateDir string `help:"Where the node keeps its journal, keys, locks and unpacked packages." default:"/var/lib/wptk" placeholder:"DIR"`

	Sites     []string `help:"Where domains live: the first * is the account, the second the domain." default:"/home/*/domains/*" placeholder:"GLOB"`
	Provision bool     `help:"Let admins have accounts made: a Unix user, and the domain's directory below the first --sites. Needs root."`
	SiteURL   string   `name:"site-url" help:"Address of a new site." default:"https://{domain}" placeholder:"URL"`

	InstallMode string `name:"install-mode" help:"How sites are installed that do not say so themselves: wp-cli runs the real wp core install, golden fills in the rows that it leaves." enum:"wp-cli,golden" default:"wp-cli"`

	MySQLDSNFile string `name:"mysql-dsn-file" help:"File with the MariaDB or MySQL administrator's DSN, like root:PASSWORD@unix(/run/mysqld/mysqld.sock)/." required:"" placeholder:"FILE"`
	DBHost       string `name:"db-host" help:"DB_HOST of new sites, as PHP reaches the server." default:"localhost" placeholder:"HOST"`

	Packages string `help:"Where WordPress, plugins and themes come from: wordpress.org, a mirror's URL, or a directory." default:"wordpress.org" placeholder:"SOURCE"`
	PHP      string `name:"php" help:"PHP command line binary." default:"/usr/bin/php" placeholder:"FILE"`
	WPCLI    string `name:"wp-cli" help:"WP-CLI phar; from the package source when empty." placeholder:"FILE"`

	ObjectCacheURL          string `name:"object-cache-url" help:"Redis for the object caches of sites, never the toolkit's own: redis://host:port/database or unix:///path?db=database. Each site gets a user of its own in it." placeholder:"URL"`
	ObjectCachePasswordFile string `name:"object-cache-password-file" help:"File with the password of that Redis's administrator, the user in its URL or else default." placeholder:"FILE"`

	PHPSocket string `name:"php-socket" help:"Where the web server's PHP of an account listens, as /run/php/{account}.sock (also {domain}): its opcode cache is read and flushed there. Nobody but root may write into that directory." placeholder:"FILE"`

	WebServer       string `name:"web-server" help:"Which web server reads the sites: apache (also LiteSpeed), nginx, or auto." enum:"auto,apache,nginx" default:"auto"`
	NginxIncludeDir string `name:"nginx-include-dir" help:"Where rules for nginx go, as DOMAIN/SITE.conf; each server block includes its domain's." placeholder:"DIR"`
	NginxTest       string `name:"nginx-test" help:"Command that fails when the configuration of nginx is wrong." placeholder:"COMMAND"`
	NginxReload     string `name:"nginx-reload" help:"Command that has nginx load its configuration." placeholder:"COMMAND"`
	WebProbe        string `name:"web-probe" help:"The web server's own address; sites are asked there whether they still answer and rules hold." placeholder:"URL"`

	Backups        string `help:"Where backups are kept: an absolute directory, or s3:…, sftp:…, rest:… as restic has them, with a repository for each account below. Empty: the node keeps none." placeholder:"URL"`
	BackupKeyFile  string `help:"File with the key of the fleet's backups, 32 characters or more. Without it no backup can ever be read again: keep a copy elsewhere." placeholder:"FILE"`
	BackupEnvFile  string `help:"File with the credentials of the store, as NAME=value lines (AWS_ACCESS_KEY_ID …)." placeholder:"FILE"`
	BackupSSHKey   string `help:"File with the private key for sftp:…; what ssh has for the worker's user when empty." placeholder:"FILE"`
	BackupSSHHosts string `name:"backup-known-hosts" help:"File with the host keys for sftp:…, in the form of known_hosts; a host that is not in it is refused." placeholder:"FILE"`
	Restic         string `help:"restic binary; looked for when empty." placeholder:"FILE"`
	BackupKeepDays int    `help:"Days that a backup is kept which does not say so itself; 0 is for ever, unless --backup-keep-last says otherwise." default:"30"`
	BackupKeepLast int    `help:"So many newest backups of each install are kept anyway." default:"3"`
	BackupListen   string `help:"Address where the API fetches backups that somebody downloads; the API has to reach it under this address." default:"127.0.0.1:9085" placeholder:"ADDR"`

	SlotsFast int `help:"Interactive and standard ops at one time." default:"4"`
	SlotsBulk int `help:"Bulk ops (clone, backup) at one time." default:"1"`

	MetricsListen string        `help:"Address of /metrics and /healthz; empty turns them off." default:"127.0.0.1:9084" placeholder:"ADDR"`
	ScanInterval  time.Duration `help:"How often the site directories are read for installs made or removed by hand." default:"30s"`
	Cgroup        string        `help:"Control groups (version 2), one for every command: off, auto (where the service manager lets the worker make them), or required." enum:"off,auto,required" default:"auto"`
	RunMemory     int           `help:"MiB of memory that all processes of one command may have together in its control group; 0 is no limit." default:"4096"`
	RunProcesses  int           `help:"Processes and threads that one command may have in its control group; 0 is no limit." default:"512"`
	RunCPUs       float64       `name:"run-cpus" help:"Processors' worth of time that one command may use in its control group; 0 is no limit." default:"0"`
	Sandbox       string        `help:"Keep commands of sites to the system's files and their account's own (landlock): off, auto (where the kernel can), or required." enum:"off,auto,required" default:"off"`
	SandboxRead   []string      `help:"More files and directories that commands of all sites may read with --sandbox; may be repeated." placeholder:"PATH"`

	AsInvoker bool `help:"Run everything as the invoking user instead of each site's own. For development without root: it separates no tenants."`
}

var nodeID = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

// Validate reports every wrong setting, each by its flag.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !nodeID.MatchString(c.Node) {
		wrong("--node: %q is not an id of a-z, 0-9, dot and dash", c.Node)
	}
	for flag, path := range map[string]string{"--state-dir": c.StateDir, "--php": c.PHP} {
		if !filepath.IsAbs(path) {
			wrong("%s: %q is not an absolute path", flag, path)
		}
	}
	if u, err := url.Parse(strings.ReplaceAll(c.SiteURL, "{domain}", "example.test")); err != nil ||
		(u.Scheme != "http" && u.Scheme != "https") || !strings.Contains(c.SiteURL, "{domain}") {
		wrong("--site-url: %q is not an http(s) address with {domain} in it", c.SiteURL)
	}
	c.checkWeb(wrong)
	if (c.ObjectCacheURL == "") != (c.ObjectCachePasswordFile == "") {
		wrong("--object-cache-url, --object-cache-password-file: one needs the other")
	}
	c.checkBackups(wrong)
	if c.SlotsFast < 1 || c.SlotsBulk < 1 {
		wrong("--slots-fast, --slots-bulk: at least 1")
	}
	if c.ScanInterval < time.Second {
		wrong("--scan-interval: at least 1s")
	}
	c.checkContainment(wrong)
	root := os.Geteuid() == 0
	if root && c.AsInvoker {
		wrong("--as-invoker: refused for root; sites' code would run as root")
	}
	if !root && c.Provision {
		wrong("--provision: needs root, who alone makes users")
	}
	if !root && !c.AsInvoker {
		wrong("--as-invoker: needed without root, since only root can become the sites' own users")
	}
	return errors.Join(errs...)
}

// checkWeb looks at what is said about the web server.
func (c *Config) checkWeb(wrong func(format string, args ...any)) {
	for flag, command := range map[string]string{"--nginx-include-dir": c.NginxIncludeDir, "--nginx-test": c.NginxTest, "--nginx-reload": c.NginxReload} {
		if command != "" && !filepath.IsAbs(command) {
			wrong("%s: %q does not begin with an absolute path", flag, command)
		}
	}
	if c.WebServer == wp.Nginx && c.NginxIncludeDir == "" {
		wrong("--nginx-include-dir: needed with --web-server nginx")
	}
	if c.PHPSocket != "" && (!filepath.IsAbs(c.PHPSocket) || !strings.Contains(c.PHPSocket, "{account}") && !strings.Contains(c.PHPSocket, "{domain}")) {
		wrong("--php-socket: %q is not an absolute path with {account} or {domain} in it", c.PHPSocket)
	}
	if u, err := url.Parse(c.WebProbe); c.WebProbe != "" && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Port() == "") {
		wrong("--web-probe: %q is not an address like http://127.0.0.1:80", c.WebProbe)
	}
}

// web is what the node knows of its web server.
func (c *Config) web() wp.Web {
	w := wp.Web{NginxDir: c.NginxIncludeDir, NginxTest: strings.Fields(c.NginxTest), NginxReload: strings.Fields(c.NginxReload), Probe: c.WebProbe}
	if c.WebServer != "auto" {
		w.Server = c.WebServer
	}
	return w
}

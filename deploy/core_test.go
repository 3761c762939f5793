package deploy_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp/proc"
)

// Cores that are put together from archives made for a browser must be as good as the
// official ones: each is installed by the real WP-CLI on the real MariaDB.
func TestEveryCoreInstallsOnMariaDB(t *testing.T) {
	t.Parallel()
	packages := devstack.CacheT(t)
	trees, err := filepath.Glob(filepath.Join(packages, "core", "*", "wordpress"))
	if err != nil || len(trees) < 2 {
		t.Fatalf("cores: %v, %v", trees, err)
	}
	db := devstack.SharedMariaDB(t)
	for _, tree := range trees {
		version := filepath.Base(filepath.Dir(tree))
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			site := installCore(t, packages, tree, db, "core_"+strings.ReplaceAll(version, ".", "_"))
			if got := site("core", "version"); got != version {
				t.Errorf("core version: %q", got)
			}
			if got := site("option", "get", "blogname"); got != "A title" {
				t.Errorf("title: %q", got)
			}
			theme := site("option", "get", "stylesheet")
			if got := site("theme", "get", theme, "--field=status"); got != "active" {
				t.Errorf("theme %s: %q", theme, got)
			}
			if got := site("eval", "echo get_bloginfo('version'), is_readable(ABSPATH . WPINC . '/css/dashicons.min.css') ? ' styled' : ' bare';"); got != version+" styled" {
				t.Errorf("assets: %q", got)
			}
		})
	}
}

// installCore installs a site and returns a function that runs WP-CLI on it.
func installCore(t *testing.T, packages, tree string, server *devstack.Server, name string) func(...string) string {
	t.Helper()
	dir := openTempDir(t)
	docroot := filepath.Join(dir, "site")
	if err := os.CopyFS(docroot, os.DirFS(tree)); err != nil {
		t.Fatal(err)
	}
	admin, err := sql.Open("mysql", server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	for _, q := range []string{
		"CREATE DATABASE " + name,
		fmt.Sprintf("CREATE USER %s@'127.0.0.1' IDENTIFIED BY 'of-no-use-elsewhere'", name),
		fmt.Sprintf("GRANT ALL ON `%s`.* TO %s@'127.0.0.1'", strings.ReplaceAll(name, "_", `\_`), name),
	} {
		if _, err := admin.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	config := fmt.Sprintf("<?php\ndefine('DB_NAME','%s');define('DB_USER','%s');define('DB_PASSWORD','of-no-use-elsewhere');\n"+
		"define('DB_HOST','%s');define('DB_CHARSET','utf8mb4');define('DB_COLLATE','');\n"+
		"define('WP_HTTP_BLOCK_EXTERNAL',true);define('DISABLE_WP_CRON',true);\n$table_prefix='wp_';\n"+
		"if (!defined('ABSPATH')) define('ABSPATH', __DIR__.'/');\nrequire_once ABSPATH.'wp-settings.php';\n", name, name, server.Addr)
	if err := os.WriteFile(filepath.Join(docroot, "wp-config.php"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	wp := func(args ...string) string {
		t.Helper()
		code, out := run(t, proc.Spec{
			Path: "/usr/bin/env", Dir: docroot, As: nobody(),
			Args: append([]string{"php", "-d", "display_errors=stderr", "-d", "error_reporting=0",
				filepath.Join(packages, "wp-cli", "wp-cli.phar"), "--path=" + docroot}, args...),
			Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "WP_CLI_DISABLE_AUTO_CHECK_UPDATE=1"},
		})
		if code != 0 {
			t.Fatalf("wp %s: status %d:\n%s", args[0], code, out)
		}
		return strings.TrimSpace(out)
	}
	wp("core", "install", "--url=http://example.test", "--title=A title", "--admin_user=boss",
		"--admin_email=boss@example.test", "--admin_password=of-no-use-elsewhere", "--skip-email")
	return wp
}

package wp

import (
	"path/filepath"
	"strings"
)

// phpFlags come in front of the phar. Errors go to stderr, where they cannot be taken for
// the output of a command, and without the arguments of functions, which may be passwords.
var phpFlags = []string{
	"-d", "memory_limit=512M", // until WordPress is loaded; then the limit of the process holds
	"-d", "display_errors=stderr",
	"-d", "html_errors=0",
	"-d", "log_errors=0",
	"-d", "zend.exception_ignore_args=1",
	"-d", "output_buffering=0",
	"-d", "max_execution_time=0",
	"-d", "auto_prepend_file=",
	"-d", "auto_append_file=",
	"-d", "opcache.enable_cli=0", // shared memory for one run costs more than it gives
}

// args is everything behind the program's name. In strict mode WP-CLI takes global flags
// only in front of the verbs, so nothing behind them can become one.
func (c *CLI) args(site Site, cmd Command) []string {
	args := append([]string{}, phpFlags...)
	if cmd.engine != nil {
		args = append(args, cmd.engine.phpFlags()...)
	}
	if len(cmd.prompts) > 0 {
		// Without readline WP-CLI reads the bare line: readline would echo the secret to
		// its output and take bytes beyond ASCII for key bindings.
		args = append(args, "-d", "disable_functions=readline")
	}
	args = append(args, c.phar, "--path="+site.Docroot, "--url="+site.URL, "--no-color", "--skip-packages")
	if cmd.skipPlugins {
		args = append(args, "--skip-plugins", "--skip-themes")
	}
	if cmd.engine != nil {
		args = append(args, "--require="+c.dirs.php("engine.php"))
	}
	if cmd.loads != "" {
		// In front of run.php, so that what its hooks print is inside the frame.
		args = append(args, "--require="+c.dirs.php(string(cmd.loads)))
	}
	args = append(args, "--require="+c.dirs.php("run.php"))
	if len(cmd.prompts) > 0 {
		// WP-CLI logs the whole command with the answers filled in, unless it is quiet.
		args = append(args, "--quiet", "--prompt="+cmd.promptNames())
	}
	return append(append(args, cmd.verbs...), cmd.args...)
}

// env is the complete environment. WP-CLI executes code it finds through its configuration,
// package and home directories, so all of them are empty ones of ours.
func (c *CLI) env(site Site, cmd Command, tmp, nonce string) []string {
	env := []string{
		"PATH=" + searchPath,
		"HOME=" + c.dirs.empty,
		"LANG=C.UTF-8",
		"TMPDIR=" + tmp,
		"WP_CLI_CONFIG_PATH=" + c.dirs.config,
		"WP_CLI_PACKAGES_DIR=" + c.dirs.empty,
		"WP_CLI_CACHE_DIR=" + filepath.Join(tmp, "cache"),
		"WP_CLI_DISABLE_AUTO_CHECK_UPDATE=1",
		"WP_CLI_STRICT_ARGS_MODE=1",
		"WP_CLI_FORCE_USER_LOGIN=1", // a login such as 1 or a@b.c is not an ID or an address
		"WPTK_COMMAND=" + cmd.Name(),
		"WPTK_NONCE=" + nonce,
	}
	if cmd.engine != nil {
		env = append(env, "WP_CONFIG_PATH="+c.dirs.php("engine-config.php"))
	}
	if cmd.install {
		env = append(env, "WPTK_SITE_URL="+site.URL)
	}
	return env
}

// writable are the directories of ours that a run writes into.
func (c Command) writable(tmp string) []string {
	if c.engine != nil && c.engine.cache != "" {
		return []string{tmp, c.engine.cache}
	}
	return []string{tmp}
}

// standardInput is standard input: the answers in the order of the questions, or the input.
func (c Command) standardInput() string {
	if len(c.prompts) == 0 {
		return c.stdin
	}
	var b strings.Builder
	if c.engine != nil {
		b.WriteString(c.engine.line + "\n")
	}
	for _, p := range c.prompts {
		b.WriteString(p.secret + "\n")
	}
	return b.String()
}

func (c Command) promptNames() string {
	names := make([]string, len(c.prompts))
	for i, p := range c.prompts {
		names[i] = string(p.name)
	}
	return strings.Join(names, ",")
}

func (c Command) secrets() []string {
	var out []string
	for _, p := range c.prompts {
		out = append(out, p.secret)
	}
	return append(out, c.hidden...)
}

// String is the command as the log shows it.
func (c Command) String() string {
	return "wp " + strings.Join(append(append([]string{}, c.verbs...), c.args...), " ")
}

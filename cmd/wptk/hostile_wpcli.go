package main

// wpcliCases leave files that WP-CLI, PHP or a database client would obey. None of them may
// have any effect, neither on others nor on the operation.
func wpcliCases(h *hostile) (all []hostileCase) {
	mark := h.state.dir("marks", "wp-cli")
	code := `<?php touch('` + mark + `'); `
	bomb := `printf '%s' "` + code + `" > "$H/bomb.php"; `
	for i, c := range []struct{ name, script string }{
		{"wp-cli.yml in the docroot", `echo "require: $H/bomb.php" > "$D/wp-cli.yml"`},
		{"wp-cli.local.yml in the docroot", `echo "require: $H/bomb.php" > "$D/wp-cli.local.yml"`},
		{"wp-cli.yml in the domain's directory", `echo "require: $H/bomb.php" > "$D/../wp-cli.yml"`},
		{"wp-cli.yml in the account's directory", `echo "require: $H/bomb.php" > "$H/wp-cli.yml"`},
		{"config.yml in the account's .wp-cli", `mkdir -p "$H/.wp-cli"; echo "require: $H/bomb.php" > "$H/.wp-cli/config.yml"`},
		{"packages in the account's .wp-cli", `mkdir -p "$H/.wp-cli/packages/vendor"; cp "$H/bomb.php" "$H/.wp-cli/packages/vendor/autoload.php"; echo '{}' > "$H/.wp-cli/packages/composer.json"`},
		{"an exec line", `echo "exec: \"touch('` + mark + `');\"" > "$D/wp-cli.yml"`},
		{"an ssh line", `printf 'ssh: root@127.0.0.1\nssh-args: -oProxyCommand=touch%%20` + mark + `\n' > "$D/wp-cli.yml"`},
		{"an http line", `echo "http: http://` + h.canary.Addr().String() + `" > "$D/wp-cli.yml"`},
		{"an inherit line", `printf '_:\n  inherit: %s/other.yml\n' "$H" > "$D/wp-cli.yml"; echo "require: $H/bomb.php" > "$H/other.yml"`},
		{"disabled commands", `echo "disabled_commands: [core, plugin, user, option, eval-file]" > "$D/wp-cli.yml"`},
		{"a path to the victim's", `echo "path: $V" > "$D/wp-cli.yml"`},
		{"aliases", `printf '@all:\n  path: %s\n@site:\n  ssh: root@127.0.0.1\n' "$V" > "$D/wp-cli.yml"`},
		{"options for commands", `printf 'user: 1\nskip-plugins: true\ncore config:\n  extra-php: system("touch ` + mark + `");\n' > "$D/wp-cli.yml"`},
		{"php.ini in the docroot", `echo "auto_prepend_file=$H/bomb.php" > "$D/php.ini"`},
		{"php-cli.ini in the account's directory", `echo "auto_prepend_file=$H/bomb.php" > "$H/php-cli.ini"; cp "$H/php-cli.ini" "$H/php.ini"`},
		{".user.ini in the docroot", `echo "auto_prepend_file=$H/bomb.php" > "$D/.user.ini"`},
		{".my.cnf in the account's directory", `printf '[client]\ninit-command=SELECT 1 INTO OUTFILE "` + mark + `"\nhost=127.0.0.1\n' > "$H/.my.cnf"`},
		{"shell profiles", `for f in .profile .bashrc .bash_profile .zshrc; do echo "touch ` + mark + `" > "$H/$f"; done`},
		{"composer's autoloader in the docroot", `mkdir -p "$D/vendor"; cp "$H/bomb.php" "$D/vendor/autoload.php"; echo '{}' > "$D/composer.json"`},
		{"programs of the same names", `mkdir -p "$H/bin"; for f in php wp mariadb mysql sh tar; do printf '#!/bin/sh\ntouch ` + mark + `\n' > "$H/bin/$f"; cp "$H/bin/$f" "$D/$f"; done; chmod +x "$H/bin"/* "$D/php" "$D/wp" "$D/sh"`},
	} {
		all = append(all, hostileCase{name: c.name, short: i < 1, attack: func(x *attack) {
			x.undo(func() {
				x.as(`rm -rf "$H/bomb.php" "$H/other.yml" "$H/.wp-cli" "$H/bin" "$H"/*.yml "$H"/*.ini "$H"/.my.cnf "$H"/.*rc "$H"/.*profile; cd "$D"; rm -rf wp-cli*.yml ../wp-cli.yml php.ini .user.ini vendor composer.json php wp mariadb mysql sh tar`)
			})
			x.as(bomb + c.script)
			x.succeeds("/password/reset", fields{"user": demoAdmin, "password": x.password})
			x.succeeds("/inspect", nil)
		}})
	}
	return all
}

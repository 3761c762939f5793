package main

import (
	"net/http"
)

// plant is something that an attacker puts into its site, and what is asked for then.
type plant struct {
	name   string
	at     string // what is replaced, relative to the docroot; "." is the docroot
	script string // as the attacker, what is replaced is $T
	root   string // the same, for what takes root's help
	path   string // what is asked for
	body   fields
}

var (
	turnedOn   = fields{"enabled": true}
	withApache = fields{"enabled": true, "server": "apache"}
	dolly      = fields{"plugin": "hello-dolly"}
)

// plants are links, files and directories that lead elsewhere.
var plants = []plant{
	{"wp-config.php is the victim's", "wp-config.php", `ln -s "$V/wp-config.php" "$T"`, "", "/security/disable-file-edit", turnedOn},
	{"wp-config.php is root's file", "wp-config.php", `ln -s "$R/open.php" "$T"`, "", "/security/disable-file-edit", turnedOn},
	{"wp-config.php is a file that only root reads", "wp-config.php", `ln -s "$R/closed" "$T"`, "", "/inspect", nil},
	{"wp-config.php leads to where nothing is", "wp-config.php", `ln -s "$R/new.php" "$T"`, "", "/security/toggle-debug", turnedOn},
	{"wp-config.php leads to itself", "wp-config.php", `ln -s wp-config.php "$T"`, "", "/inspect", nil},
	{"wp-config.php is a pipe", "wp-config.php", `mkfifo "$T"`, "", "/inspect", nil},
	{"wp-config.php is a directory", "wp-config.php", `mkdir "$T"`, "", "/security/disable-file-edit", turnedOn},
	{"wp-config.php is a hard link of root's file", "wp-config.php", ``, `ln "$R/open.php" "$T"`, "/security/disable-file-edit", turnedOn},
	{"wp-config.php is a hard link of the victim's", "wp-config.php", ``, `ln "$V/wp-config.php" "$T"`, "/security/file-protection", withApache},
	{".htaccess is root's file", ".htaccess", `ln -s "$R/open.php" "$T"`, "", "/security/block-xmlrpc", withApache},
	{".htaccess is the victim's", ".htaccess", `ln -s "$V/.htaccess" "$T"`, "", "/security/block-xmlrpc", withApache},
	{".htaccess is a pipe", ".htaccess", `mkfifo "$T"`, "", "/security/block-xmlrpc", withApache},
	{".htaccess is a hard link of root's file", ".htaccess", ``, `ln "$R/open.php" "$T"`, "/security/block-xmlrpc", withApache},
	{".htaccess leads into the directory of root", ".htaccess", `ln -s "$R/dir/.htaccess" "$T"`, "", "/security/disable-browsing", withApache},
	{".maintenance is root's file", ".maintenance", `ln -s "$R/open.php" "$T"`, "", "/maintenance", turnedOn},
	{".maintenance leads to where nothing is", ".maintenance", `ln -s "$R/dir/new" "$T"`, "", "/maintenance", turnedOn},
	{".maintenance is a directory", ".maintenance", `mkdir "$T"`, "", "/maintenance", turnedOn},
	{"mu-plugins is the victim's", "wp-content/mu-plugins", `ln -s "$V/wp-content/mu-plugins" "$T"`, "", "/auto-login", nil},
	{"mu-plugins is root's directory", "wp-content/mu-plugins", `ln -s "$R/dir" "$T"`, "", "/auto-login", nil},
	{"our must-use plugin is root's file", "wp-content/mu-plugins/wptk.php", `ln -s "$R/open.php" "$T"`, "", "/auto-login", nil},
	{"our must-use plugin is a hard link of root's file", "wp-content/mu-plugins/wptk.php", ``, `ln "$R/open.php" "$T"`, "/auto-login", nil},
	{"wp-content is the victim's", "wp-content", `ln -s "$V/wp-content" "$T"`, "", "/plugins/install", dolly},
	{"wp-content is root's directory", "wp-content", `ln -s "$R/dir" "$T"`, "", "/plugins/install", dolly},
	{"plugins is the victim's", "wp-content/plugins", `ln -s "$V/wp-content/plugins" "$T"`, "", "/plugins/install", dolly},
	{"the plugin is a link to the victim's", "wp-content/plugins/hello-dolly", `ln -s "$V/wp-content/plugins" "$T"`, "", "/plugins/delete", dolly},
	{"the plugin is a link to root's directory", "wp-content/plugins/hello-dolly", `ln -s "$R/dir" "$T"`, "", "/plugins/install", dolly},
	{"themes is the victim's", "wp-content/themes", `ln -s "$V/wp-content/themes" "$T"`, "", "/themes/delete", fields{"theme": "twentytwentythree"}},
	{"upgrade is root's directory", "wp-content/upgrade", `ln -s "$R/dir" "$T"`, "", "/plugins/install", dolly},
	{"object-cache.php is root's file", "wp-content/object-cache.php", `ln -s "$R/open.php" "$T"`, "", "/cache/flush", fields{"type": "object"}},
	{"uploads is root's directory", "wp-content/uploads", `ln -s "$R/dir" "$T"`, "", "/security/file-protection", withApache},
	{"uploads is the victim's", "wp-content/uploads", `mkdir -p "$D/wp-content"; ln -s "$V/wp-content/uploads" "$T"`, "", "/security/file-protection", withApache},
	{"wp-includes is the victim's", "wp-includes", `ln -s "$V/wp-includes" "$T"`, "", "/reinstall-core", nil},
	{"wp-admin is root's directory", "wp-admin", `ln -s "$R/dir" "$T"`, "", "/reinstall-core", nil},
	{"a file of the core is the victim's", "wp-includes/version.php", `ln -s "$V/wp-includes/version.php" "$T"`, "", "/reinstall-core", nil},
	{"a file of the core is a file that only root reads", "readme.html", `ln -s "$R/closed" "$T"`, "", "/verify-checksums", nil},
	{"a file of the core is a hard link of root's", "readme.html", ``, `ln "$R/open.php" "$T"`, "/security/file-protection", withApache},
	{"a file of the core is a pipe", "readme.html", `mkfifo "$T"`, "", "/verify-checksums", nil},
	{"a device is in the site", "wp-content/disk", ``, `mknod "$T" c 1 5; chmod 666 "$T"`, "/security/file-protection", withApache},
	{"a socket is in the site", "wp-content/sock", `php -r '$s = stream_socket_server("unix://" . $argv[1]);' "$T" || true`, "", "/verify-checksums", nil},
	{"a setuid file of root's is in the site", "wp-content/suid", ``, `cp /bin/true "$T"; chmod 6755 "$T"`, "/security/file-protection", withApache},
	{"a directory that nobody enters", "wp-content/closed", `mkdir "$T"; touch "$T/x"; chmod 0 "$T"`, "", "/verify-checksums", nil},
	{"names that are flags, lines and escapes", "wp-admin/odd", `mkdir "$T"; cd "$T"; touch -- -rf --path=x "$(printf 'a\nb')" "$(printf 'a\033[31mb')" "$(printf '\377\376')" '*' ' '`, "", "/verify-checksums", nil},
	{"20,000 files", "wp-admin/many", `mkdir "$T"; cd "$T"; seq 20000 | xargs touch`, "", "/verify-checksums", nil},
	{"300 levels of directories", "wp-admin/deep", `mkdir "$T"; cd "$T"; i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done`, "", "/verify-checksums", nil},
	{"a circle of links", "wp-admin/circle", `mkdir "$T"; ln -s .. "$T/up"; ln -s . "$T/self"`, "", "/verify-checksums", nil},
	{"the docroot is the victim's", ".", `ln -s "$V" "$T"`, "", "/maintenance", turnedOn},
	{"the docroot is the victim's, deleted", ".", `ln -s "$V" "$T"`, "", "DELETE", nil},
	{"the docroot is /etc", ".", `ln -s /etc "$T"`, "", "/inspect", nil},
	{"the docroot is root's directory", ".", `ln -s "$R/dir" "$T"`, "", "/reinstall-core", nil},
	{"the domain is the victim's", "..", `ln -s "$(dirname "$V")" "$T"`, "", "/maintenance", turnedOn},
	{"the domain is the victim's, deleted", "..", `ln -s "$(dirname "$V")" "$T"`, "", "DELETE", nil},
}

// linkCases plant, ask, and look.
func linkCases(*hostile) (all []hostileCase) {
	for i, p := range plants {
		all = append(all, hostileCase{name: p.name + ": " + p.path, short: i%14 == 0, attack: func(x *attack) {
			if p.at != "." && p.at != ".." {
				x.keep()
			}
			x.instead(p.at, p.script)
			if p.root != "" {
				x.asRoot("T=$D/" + p.at + "; " + p.root)
				x.planted()
			}
			if p.path == "DELETE" {
				x.attemptOn(x.id, http.MethodDelete, "/delete", nil)
				return
			}
			x.attempt(p.path, p.body)
		}})
	}
	return append(all, swapCases()...)
}

// swapCases change what is there while it is being worked with, and delete sites with things
// in them that are not the site's.
func swapCases() []hostileCase {
	race := func(name, script, path string, body fields) hostileCase {
		return hostileCase{name: name, attack: func(x *attack) {
			x.keep()
			stop := x.meanwhile(`cd "$D"; while :; do ` + script + `; done`)
			for range 3 {
				x.attempt(path, body)
			}
			stop()
			x.as(`cd "$D"; rm -rf race .htaccess; [ ! -L wp-content/uploads ] || rm wp-content/uploads; mkdir -p wp-content/uploads`)
		}}
	}
	remove := func(name, plant, root string) hostileCase {
		return hostileCase{name: name, attack: func(x *attack) {
			y := x.second(nil)
			y.as(plant)
			if root != "" {
				y.asRoot(root)
				x.planted()
				x.undo(func() { y.asRoot(`umount "$D/wp-content/mnt" 2>/dev/null || true`) })
			}
			y.attemptOn(y.id, http.MethodDelete, "/delete", fields{"keep_backup": false})
			x.note(y.exam.err)
		}}
	}
	return []hostileCase{
		race(".htaccess becomes a link while it is written", `ln -sfn "$R/open.php" .htaccess; rm -f .htaccess; echo > .htaccess`, "/security/block-xmlrpc", withApache),
		race(".htaccess becomes the victim's while it is written", `ln -sfn "$V/.htaccess" .htaccess; rm -f .htaccess`, "/security/disable-browsing", withApache),
		race("uploads becomes a link while modes are set", `rm -rf wp-content/uploads; ln -sfn "$R/dir" wp-content/uploads; rm -f wp-content/uploads; mkdir wp-content/uploads`, "/security/file-protection", withApache),
		race(".maintenance becomes a link while it is written", `ln -sfn "$R/open.php" .maintenance; rm -f .maintenance`, "/maintenance", turnedOn),
		remove("a deleted site has links to the victim's", `ln -s "$V" "$D/wp-content/victim"; ln -s "$R" "$D/wp-content/root"; ln -s / "$D/slash"`, ""),
		remove("a deleted site has names that are flags", `cd "$D"; touch -- -rf --no-preserve-root "$(printf 'a\nb')"; mkdir -- '--'`, ""),
		remove("a deleted site has a directory that cannot be changed", `mkdir "$D/wp-content/fixed"; touch "$D/wp-content/fixed/x"; chmod 0500 "$D/wp-content/fixed"`, ""),
		{name: "a deleted site has a hard link of the victim's", attack: hardLinked},
		remove("a deleted site has the victim's mounted in it", ``, `mkdir "$D/wp-content/mnt"; mount --bind "$V" "$D/wp-content/mnt"`),
		remove("a deleted site is the victim's by its wp-content", `rm -rf "$D/wp-content"; ln -s "$V/wp-content" "$D/wp-content"`, ""),
	}
}

// hardLinked has a link to the victim's file deleted with the site, which the file itself shows
// by one link less and the time of it; everything else of it has to stay.
func hardLinked(x *attack) {
	const look = `{ stat -c '%a %u %g %s %h %Y' "$V/index.php"; cat "$V/index.php"; }`
	y := x.second(nil)
	y.asRoot(look + ` > "$M/../linked"; ln "$V/index.php" "$D/wp-content/linked.php"`)
	y.attemptOn(y.id, http.MethodDelete, "/delete", fields{"keep_backup": false})
	y.asRoot(`[ ! -e "$D/wp-content/linked.php" ]; ` + look + ` | cmp - "$M/../linked"`)
	x.note(y.exam.err)
	x.planted() // what the file was is compared above
}

package main

import (
	"fmt"
	"os"
	"strings"
)

// evil is a must-use plugin: code of the site that is loaded whenever WordPress is. What
// says gets is written to a file of the attacker's, so that a case which never ran is seen.
type evil struct {
	name string
	php  string // a function's body; its value is what the attack has won, null for nothing
	dies bool   // it does not come back
}

const saidFile = "/said.json"

// codeCases run such plugins in the children of an operation.
func codeCases(h *hostile) (all []hostileCase) {
	worker := 0
	for _, p := range h.stack.all() {
		if strings.HasPrefix(p.name, "worker") {
			worker = p.PID()
		}
	}
	pid, state := fmt.Sprint(worker), h.state.dir()
	for i, e := range []evil{
		{name: "reads the files of the toolkit", php: files(state+"/redis-password", state+"/mysql-dsn", state+"/api-key", state+"/api.age", state+"/hostile/state/node.age", state+"/hostile/state", state+"/log", state+"/redis", "/etc/shadow", h.state.dir("precious", "closed"))},
		{name: "reads the victim's files", php: files(h.victim.docroot()+"/wp-config.php", h.victim.tmp())},
		{name: "reads the worker's memory and environment", php: files("/proc/"+pid+"/environ", "/proc/"+pid+"/mem", "/proc/"+pid+"/maps", "/proc/"+pid+"/fd/0", "/proc/"+pid+"/root/etc/shadow")},
		{name: "kills the worker", php: `exec( "kill -9 ` + pid + ` 2>/dev/null", $o, $r ); return 0 === $r ? 'killed' : null;`},
		{name: "stops the worker", php: `exec( "kill -STOP ` + pid + ` 2>/dev/null", $o, $r ); return 0 === $r ? 'stopped' : null;`},
		{name: "writes where the toolkit keeps its own", php: `foreach ( array( '` + state + `', '` + state + `/hostile', '` + state + `/hostile/state', '` + h.packages + `', getcwd(), getenv( 'HOME' ), dirname( getenv( 'WP_CLI_CONFIG_PATH' ) ), '` + h.state.dir("precious") + `' ) as $d ) { if ( '' !== (string) $d && @file_put_contents( $d . '/evil', 'x' ) ) { return $d; } } return null;`},
		{name: "finds secrets in its environment", php: `$all = print_r( getenv(), true ); foreach ( array( 'PASSWORD', 'SECRET', 'TOKEN', 'redis://', 'root:', 'wsp_' ) as $w ) { if ( false !== stripos( $all, $w ) ) { return $all; } } return null;`},
		{name: "finds more descriptors than its own", php: `$all = array(); foreach ( glob( '/proc/self/fd/*' ) as $f ) { $to = @readlink( $f ); if ( $to && preg_match( '~` + state + `(?!/packages|/hostile/(home|state/(run|php|wp-cli|packages|tools)))~', $to ) && false === strpos( $to, 'lock' ) ) { $all[] = $to; } } return $all ? $all : null;`},
		{name: "has privileges", php: `$s = file_get_contents( '/proc/self/status' ); foreach ( array( 'NoNewPrivs:\t1', 'CapEff:\t0000000000000000', 'CapBnd:\t0000000000000000', 'CapPrm:\t0000000000000000', "Groups:\t" ) as $line ) { $line = str_replace( '\t', "\t", $line ); if ( ! preg_match( '/^' . $line . '\s*$/m', $s ) ) { return $line . ' is not in ' . $s; } } return null;`},
		{name: "is somebody else by setuid programs", php: `exec( 'su -c id root </dev/null 2>&1; passwd -S root 2>&1; mount -t tmpfs x /mnt 2>&1; id', $o ); return preg_match( '/uid=0|euid=0/', join( ' ', $o ) ) ? $o : null;`},
		{name: "gives files away and makes devices", php: `$f = '` + h.mallory.tmp() + `/f'; touch( $f ); if ( @chown( $f, 0 ) ) { return 'chown'; } exec( "mknod $f.d c 1 1 2>/dev/null", $o, $r ); return 0 === $r ? 'mknod' : null;`},
		{name: "asks Redis without a password", php: `$s = @stream_socket_client( 'tcp://` + h.stack.redis.Addr + `', $n, $m, 2 ); if ( ! $s ) { return null; } fwrite( $s, "KEYS *\r\n" ); $a = fgets( $s ); return '-' === substr( (string) $a, 0, 1 ) ? null : $a;`},
		{name: "asks MariaDB as root", php: `mysqli_report( MYSQLI_REPORT_OFF ); foreach ( array( 'root', 'mysql', '' ) as $u ) { $c = mysqli_init(); if ( @mysqli_real_connect( $c, 'localhost', $u, '', '', 0, '` + h.stack.mariadb.Socket + `' ) ) { return $u; } } return null;`},
		{name: "asks the API without a key", php: `$a = @file_get_contents( '` + h.stack.apiURL() + `/api/v1/nodes' ); return $a ? $a : null;`},
		{name: "raises its limits", php: `exec( 'ulimit -c unlimited 2>/dev/null && ulimit -c; ulimit -Hu', $o ); return in_array( 'unlimited', $o, true ) ? $o : null;`},
		{name: "lives on as a daemon", php: `exec( "setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 1; done' >/dev/null 2>&1 &" ); return null;`},
		{name: "lives on by forking twice", php: `exec( "sh -c '(setsid sh -c \"trap : TERM; sleep 1000 & sleep 1000\" &) &' >/dev/null 2>&1" ); return null;`},
		{name: "forks until nothing more goes", php: `exec( 'for i in $(seq 700); do sleep 1000 & done >/dev/null 2>&1' ); return null;`},
		{name: "eats memory", php: `ini_set( 'memory_limit', '-1' ); $a = array(); while ( true ) { $a[] = str_repeat( 'x', 64 << 20 ); }`, dies: true},
		{name: "prints without end", php: `$s = str_repeat( "flood\n", 10000 ); for ( $i = 0; $i < 3000; ++$i ) { echo $s; fwrite( STDERR, $s ); } return null;`},
		{name: "prints escapes", php: `echo "\x1b]0;owned\x07\x1b[2J\xff\xfe"; fwrite( STDERR, "\x1b[31mowned\r\n" ); return null;`},
		{name: "ends without a word", php: `exit( 0 );`, dies: true},
		{name: "ends as if killed", php: `exit( 137 );`, dies: true},
		{name: "kills itself", php: `exec( 'kill -9 ' . getmypid() );`, dies: true},
		{name: "kills who started it", php: `exec( 'kill -9 $(cut -d" " -f4 /proc/' . getmypid() . '/stat)' );`, dies: true},
		{name: "kills everything that it may", php: `exec( 'kill -9 -1' );`, dies: true},
		{name: "forges the answer with the right nonce", php: `$n = getenv( 'WPTK_NONCE' ); $f = json_encode( array( 'status' => 'ok', 'id' => '` + h.victim.id + `', 'account' => '` + h.victim.account + `', 'docroot' => '` + h.victim.docroot() + `' ) ); echo "<<wptk $n\n$f\nwptk>> $n\n"; exit( 0 );`, dies: true},
		{name: "forges the answer with a wrong nonce", php: `echo "<<wptk 0000\n{\"status\":\"ok\"}\nwptk>> 0000\n"; return null;`},
		{name: "forges progress", php: `echo '{"step":"done","progress":100,"status":"succeeded"}' . "\n"; fwrite( STDERR, "event: done\ndata: {}\n\n" ); return null;`},
		{name: "answers with deep and endless JSON", php: `echo str_repeat( '[', 1 << 20 ); exit( 0 );`, dies: true},
		{name: "throws", php: `throw new Exception( "a\nb\x1b[31m" );`, dies: true},
		{name: "writes to descriptors that it guesses", php: `for ( $i = 3; $i < 64; ++$i ) { $f = @fopen( "php://fd/$i", 'w' ); if ( $f ) { @fwrite( $f, '{"Exit":0}' . "\n" ); } } return null;`},
		{name: "changes classes of WP-CLI", php: `if ( class_exists( 'WP_CLI' ) ) { WP_CLI::add_hook( 'before_invoke:', function () { exit( 0 ); } ); WP_CLI::add_command( 'user', function () { exit( 0 ); } ); WP_CLI::add_command( 'eval-file', function () { exit( 0 ); } ); } return null;`},
	} {
		all = append(all, hostileCase{name: "code that " + e.name, short: i == 0 || i == 8, attack: func(x *attack) {
			x.keep()
			said := x.tmp() + saidFile
			php := "<?php\nif ( 'cli' !== PHP_SAPI ) { return; }\nfile_put_contents( '" + said + "', 'ran' );\n$won = ( function () { " + e.php + " } )();\nfile_put_contents( '" + said + "', null === $won ? 'nothing' : 'WON ' . json_encode( $won, JSON_PARTIAL_OUTPUT_ON_ERROR ) );\n"
			x.undo(func() { x.as(`rm -rf "$H/tmp/f" "$H/tmp` + saidFile + `"`) })
			x.as(`rm -f "$H/tmp` + saidFile + `"`)
			x.put("wp-content/mu-plugins/aaa-evil.php", php)
			x.attempt("/inspect", nil)
			raw, err := os.ReadFile(said)
			x.note(err)
			won := string(raw)
			x.check(won == "nothing" || won == "ran" && e.dies, "the attack says %.400q", won)
			x.alone()
		}})
	}
	return append(all, hostileCase{name: "the passwords are in no log of the toolkit", short: true, attack: func(x *attack) {
		x.note(x.keepsPassword(h.state.dir("log")))
		x.note(h.victim.keepsPassword(h.state.dir("log")))
	}})
}

// files tries to read or list what is not the attacker's.
func files(paths ...string) string {
	return `foreach ( array( '` + strings.Join(paths, "', '") + `' ) as $p ) { $d = is_dir( $p ) ? @scandir( $p ) : @file_get_contents( $p, false, null, 0, 64 ); if ( $d ) { return array( $p, $d ); } } return null;`
}

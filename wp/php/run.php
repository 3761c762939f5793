<?php
/**
 * Loaded in front of every WP-CLI command that the worker runs (--require).
 *
 * It frames what the command prints, so that the worker can tell it from what the site's
 * own code prints before and after, and keeps WP-Cron from being spawned: any command that
 * loads WordPress would otherwise run scheduled jobs, which on a copy of a site may send
 * mail or charge cards.
 *
 * Runs on PHP 5.6 and later, before WordPress is loaded, as the tenant.
 */

if ( ! class_exists( 'WP_CLI' ) ) {
	exit( 1 );
}

call_user_func(
	static function () {
		// Against accidents only: code in this process that wants to forge an answer can.
		$take = static function ( $name ) {
			$value = getenv( $name );
			putenv( $name );
			unset( $_SERVER[ $name ], $_ENV[ $name ] );
			return false === $value ? '' : $value;
		};

		$nonce   = $take( 'WPTK_NONCE' );
		$command = $take( 'WPTK_COMMAND' );

		WP_CLI::add_hook(
			'before_invoke:' . $command,
			static function () use ( $nonce ) {
				// Output buffers opened by the site would reorder what follows.
				while ( ob_get_level() > 0 && ob_end_flush() ) {
					continue;
				}
				echo "\n<<wptk $nonce\n";
			}
		);
		WP_CLI::add_hook(
			'after_invoke:' . $command,
			static function () use ( $nonce ) {
				echo "\nwptk>> $nonce\n";
			}
		);

		WP_CLI::add_wp_hook(
			'muplugins_loaded',
			static function () {
				remove_action( 'init', 'wp_cron' );
			}
		);
	}
);

/**
 * Does a user have this password? WP-CLI's own command takes it as an argument only, where
 * every user of the host can read it. Input: {"login","password"}, output: {"found","matches",
 * "siteurl"}; the address is there so that a new site is checked by one start of PHP.
 *
 * The login form compares what it gets with backslashes in front of quotes (wp_signon takes
 * $_POST as WordPress has slashed it), so that is how passwords are stored and have to be
 * compared here.
 */
WP_CLI::add_command(
	'wptk check-password',
	static function () {
		$in   = json_decode( stream_get_contents( STDIN ), true );
		$user = get_user_by( 'login', $in['login'] );
		echo json_encode(
			array(
				'found'   => (bool) $user,
				'matches' => $user && wp_check_password( wp_slash( $in['password'] ), $user->user_pass, $user->ID ),
				'siteurl' => (string) get_option( 'siteurl' ),
			)
		);
	},
	array( 'shortdesc' => 'Checks a password that is read from standard input.' )
);

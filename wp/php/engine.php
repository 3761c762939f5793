<?php
/**
 * Loaded first when WordPress is installed from the node's own copy of it (--require): the
 * files of the site are not there yet, and none of them is run. The first line of standard
 * input is JSON with what the site's wp-config.php says; the questions of WP-CLI come behind
 * it. Nothing is written into the copy, which all sites of the node share.
 *
 * PHP 7.2 and later.
 */

call_user_func(
	static function () {
		$in = json_decode( (string) fgets( STDIN ), true );
		if ( ! is_array( $in ) || ! is_array( $in['constants'] ) ) {
			exit( 1 );
		}
		foreach ( $in['constants'] as $name => $value ) {
			define( $name, $value );
		}
		define( 'WPTK_TABLE_PREFIX', $in['prefix'] );
		define( 'WP_DEBUG', false );

		// WordPress would make its directory for uploads, and write rewrite rules.
		WP_CLI::add_wp_hook(
			'upload_dir',
			static function ( $dir ) {
				$dir['path']    = sys_get_temp_dir();
				$dir['basedir'] = $dir['path'];
				return $dir;
			},
			PHP_INT_MAX
		);
		WP_CLI::add_wp_hook( 'flush_rewrite_rules_hard', '__return_false', PHP_INT_MAX );
	}
);

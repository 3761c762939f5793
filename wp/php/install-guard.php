<?php
/**
 * Loaded in front of "core install" and "core multisite-install" (--require).
 *
 * WordPress ends its installation with two HTTP requests to the new site, five seconds of
 * patience each, to find out whether pretty permalinks work. The site is not reachable yet,
 * so nothing may leave the process, mail neither; the permalinks are then set as a probe
 * that succeeded would have set them. wp_guess_url() takes the address from a script path
 * that means nothing here, so the address is looked up afterwards and put right.
 *
 * Prints what is in the database in the end, as JSON. Runs on PHP 7.2 and later.
 */

call_user_func(
	static function () {
		$url = getenv( 'WPTK_SITE_URL' );
		putenv( 'WPTK_SITE_URL' );
		unset( $_SERVER['WPTK_SITE_URL'], $_ENV['WPTK_SITE_URL'] );

		WP_CLI::add_wp_hook(
			'pre_http_request',
			static function () {
				return new WP_Error( 'wptk_installing', 'No requests during installation.' );
			},
			PHP_INT_MAX
		);
		WP_CLI::add_wp_hook( 'pre_wp_mail', '__return_false', PHP_INT_MAX );

		// Straight from the table: constants and filters must not hide what is stored.
		$stored = static function ( $name ) {
			global $wpdb;
			return $wpdb->get_var( $wpdb->prepare( "SELECT option_value FROM $wpdb->options WHERE option_name = %s", $name ) );
		};

		$finish = static function () use ( $url, $stored ) {
			global $wpdb, $wp_rewrite, $wp_version;

			foreach ( array( 'siteurl', 'home' ) as $name ) {
				if ( $stored( $name ) !== $url ) {
					$wpdb->update( $wpdb->options, array( 'option_value' => $url ), array( 'option_name' => $name ) );
				}
			}
			wp_cache_flush();

			$rewrites = ABSPATH . '.htaccess';
			if ( defined( 'WPTK_TABLE_PREFIX' ) ) { // See engine.php.
				$rewrites = sys_get_temp_dir() . '/rewrites';
			}
			$written = '';
			if ( ! is_multisite() && ! $stored( 'permalink_structure' ) ) {
				$wp_rewrite->set_permalink_structure( '/%year%/%monthnum%/%day%/%postname%/' );
				$wp_rewrite->flush_rules( false );
				$rules = explode( "\n", $wp_rewrite->mod_rewrite_rules() );
				if ( ! file_exists( $rewrites ) ) {
					insert_with_markers( $rewrites, 'WordPress', $rules );
				}
				if ( defined( 'WPTK_TABLE_PREFIX' ) ) {
					$written = (string) file_get_contents( $rewrites );
					unlink( $rewrites );
				}
			}

			$admins = array();
			$found  = get_users(
				array(
					'role'   => 'administrator',
					'number' => 20,
				)
			);
			foreach ( $found as $user ) {
				$admins[] = $user->user_login;
			}
			echo json_encode(
				array(
					'version'    => $wp_version,
					'siteurl'    => (string) $stored( 'siteurl' ),
					'home'       => (string) $stored( 'home' ),
					'title'      => (string) $stored( 'blogname' ),
					'permalinks' => (string) $stored( 'permalink_structure' ),
					'admins'     => $admins,
					'rewrites'   => $written,
					'tables'     => count( $wpdb->get_col( $wpdb->prepare( 'SHOW TABLES LIKE %s', $wpdb->esc_like( $wpdb->base_prefix ) . '%' ) ) ),
				)
			);
		};
		WP_CLI::add_hook( 'after_invoke:core install', $finish );
		WP_CLI::add_hook( 'after_invoke:core multisite-install', $finish );
	}
);

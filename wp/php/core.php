<?php
/**
 * Loaded for commands about WordPress itself (--require).
 *
 * "wptk core" prints how files and tables stand, "wptk upgrade-tables" brings the tables to
 * the version of the files, those of every site of a network, as wp-admin/upgrade.php would,
 * which does not load plugins either. Both print JSON, and no request leaves the process.
 *
 * PHP 7.4 syntax.
 */

call_user_func(
	static function () {
		WP_CLI::add_wp_hook(
			'pre_http_request',
			static function () {
				return new WP_Error( 'wptk_core', 'No requests while WordPress is being changed.' );
			},
			PHP_INT_MAX
		);

		WP_CLI::add_command(
			'wptk core',
			static function () {
				global $wp_version, $wp_db_version;
				$real = static function ( $path ) {
					$found = realpath( $path );
					return false === $found ? '' : $found;
				};
				echo json_encode(
					array(
						'version'           => (string) $wp_version,
						'db_version'        => (int) get_option( 'db_version' ),
						'db_version_wanted' => (int) $wp_db_version,
						'multisite'         => is_multisite(),
						'locale'            => (string) get_locale(),
						'languages'         => array_slice( get_available_languages(), 0, 20 ),
						'root'              => $real( ABSPATH ),
						'content'           => $real( WP_CONTENT_DIR ),
						'language_dir'      => $real( WP_LANG_DIR ),
					),
					JSON_INVALID_UTF8_SUBSTITUTE
				);
			},
			array( 'shortdesc' => 'Prints how the files and tables of WordPress stand.' )
		);

		WP_CLI::add_command(
			'wptk upgrade-tables',
			static function () {
				global $wp_db_version;
				require_once ABSPATH . 'wp-admin/includes/upgrade.php';
				$sites = array( get_current_blog_id() );
				if ( is_multisite() ) {
					$sites = get_sites(
						array(
							'fields' => 'ids',
							'number' => 0,
						)
					);
				}
				$done   = 0;
				$behind = array();
				foreach ( $sites as $id ) {
					if ( is_multisite() ) {
						switch_to_blog( (int) $id );
					}
					if ( (int) get_option( 'db_version' ) !== (int) $wp_db_version ) {
						wp_upgrade();
						++$done;
					}
					if ( (int) get_option( 'db_version' ) !== (int) $wp_db_version ) {
						$behind[] = (int) $id;
					}
					if ( is_multisite() ) {
						restore_current_blog();
					}
				}
				if ( is_multisite() && ! $behind ) {
					update_site_option( 'wpmu_upgrade_site', $wp_db_version );
				}
				echo json_encode(
					array(
						'sites'      => count( $sites ),
						'upgraded'   => $done,
						'behind'     => array_slice( $behind, 0, 20 ),
						'db_version' => (int) get_option( 'db_version' ),
					)
				);
			},
			array( 'shortdesc' => 'Brings the tables to the version of the files.' )
		);
	}
);

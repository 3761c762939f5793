<?php
/**
 * Loaded for commands about plugins and themes (--require).
 *
 * "wptk extensions" prints all that has to be known before one is changed, as JSON; with all
 * of them loaded it also shows that WordPress comes up. "wptk boot" shows that alone. "plugin install" and "theme install"
 * get their package as a file: nothing leaves the process meanwhile, and what the site knew
 * of other updates, which WordPress would throw away and ask for again, stays.
 *
 * PHP 7.4 syntax.
 */

call_user_func(
	static function () {
		$text = static function ( $value, $most = 500 ) {
			return is_scalar( $value ) ? (string) mb_substr( (string) $value, 0, $most ) : '';
		};

		// How often the other sites of a network use a plugin or theme; null is too many to ask.
		$uses = static function () {
			$used = array(
				'plugins' => array(),
				'themes'  => array(),
			);
			if ( ! is_multisite() ) {
				return $used;
			}
			if ( (int) get_sites( array( 'count' => true ) ) > 500 ) {
				return null;
			}
			foreach ( get_sites(
				array(
					'fields' => 'ids',
					'number' => 500,
				)
			) as $id ) {
				if ( get_current_blog_id() === (int) $id ) {
					continue;
				}
				$names = array(
					'plugins' => (array) get_blog_option( $id, 'active_plugins', array() ),
					'themes'  => array_unique( array( get_blog_option( $id, 'stylesheet' ), get_blog_option( $id, 'template' ) ) ),
				);
				foreach ( $names as $type => $list ) {
					foreach ( array_filter( $list, 'is_string' ) as $name ) {
						$used[ $type ][ $name ] = isset( $used[ $type ][ $name ] ) ? $used[ $type ][ $name ] + 1 : 1;
					}
				}
			}
			return $used;
		};

		$plugins = static function ( $used ) use ( $text ) {
			require_once ABSPATH . 'wp-admin/includes/plugin.php';
			$list = array();
			foreach ( get_plugins() as $file => $data ) {
				$status = 'inactive';
				if ( is_multisite() && is_plugin_active_for_network( $file ) ) {
					$status = 'active-network';
				} elseif ( is_plugin_active( $file ) ) {
					$status = 'active';
				}
				$list[] = array(
					'slug'    => '.' === dirname( $file ) ? basename( $file, '.php' ) : dirname( $file ),
					'file'    => $text( $file ),
					'dir'     => '.' === dirname( $file ) ? $text( $file ) : dirname( $file ),
					'version' => $text( $data['Version'], 64 ),
					'status'  => $status,
					'used'    => null === $used ? -1 : (int) ( isset( $used['plugins'][ $file ] ) ? $used['plugins'][ $file ] : 0 ),
				);
			}
			foreach ( array(
				'must-use' => get_mu_plugins(),
				'drop-in'  => get_dropins(),
			) as $status => $files ) {
				foreach ( $files as $file => $data ) {
					$list[] = array(
						'slug'    => basename( $file, '.php' ),
						'file'    => $text( $file ),
						'version' => $text( $data['Version'], 64 ),
						'status'  => $status,
					);
				}
			}
			return $list;
		};

		$themes = static function ( $used ) use ( $text ) {
			$list = array();
			foreach ( wp_get_themes( array( 'errors' => null ) ) as $slug => $theme ) {
				$status = 'inactive';
				if ( get_option( 'stylesheet' ) === (string) $slug ) {
					$status = 'active';
				} elseif ( get_option( 'template' ) === (string) $slug ) {
					$status = 'parent';
				}
				$errors = $theme->errors();
				$list[] = array(
					'slug'    => $text( $slug ),
					'dir'     => $text( $slug ),
					'root'    => $text( realpath( $theme->get_theme_root() ), 4000 ),
					'version' => $text( $theme->get( 'Version' ), 64 ),
					'status'  => $status,
					'parent'  => $theme->get_template() === (string) $slug ? '' : $text( $theme->get_template() ),
					'error'   => $errors ? $text( wp_strip_all_tags( $errors->get_error_message() ) ) : '',
					'used'    => null === $used ? -1 : (int) ( isset( $used['themes'][ $slug ] ) ? $used['themes'][ $slug ] : 0 ),
				);
			}
			return $list;
		};

		WP_CLI::add_command(
			'wptk extensions',
			static function () use ( $text, $uses, $plugins, $themes ) {
				global $wpdb;
				$wpdb->hide_errors();
				$used    = $uses();
				$default = WP_Theme::get_core_default_theme();
				echo json_encode(
					array(
						'root'        => $text( realpath( ABSPATH ), 4000 ),
						'plugin_root' => $text( realpath( WP_PLUGIN_DIR ), 4000 ),
						'theme_root'  => $text( realpath( get_theme_root() ), 4000 ),
						'content'     => $text( realpath( WP_CONTENT_DIR ), 4000 ),
						'multisite'   => is_multisite(),
						'stylesheet'  => $text( get_option( 'stylesheet' ) ),
						'default'     => $default ? $text( $default->get_stylesheet() ) : '',
						'plugins'     => $plugins( $used ),
						'themes'      => $themes( $used ),
					),
					JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR
				);
			},
			array( 'shortdesc' => 'Prints the plugins and themes as JSON.' )
		);

		WP_CLI::add_command(
			'wptk boot',
			static function () {
				global $wp_version;
				echo json_encode(
					array(
						'version'   => (string) $wp_version,
						'languages' => count( get_available_languages() ),
					)
				);
			},
			array( 'shortdesc' => 'Prints the version of WordPress once it is up.' )
		);

		// WordPress asks for updates of everything after each install, and forgets what it
		// knew even when nobody answers. Here it forgets only what is not true any more.
		$keep = static function ( $name ) {
			$known = null;
			WP_CLI::add_hook(
				"before_invoke:$name install",
				static function () use ( $name, &$known ) {
					add_filter(
						'pre_http_request',
						static function () {
							return new WP_Error( 'wptk_installing', 'No requests during installation.' );
						},
						PHP_INT_MAX
					);
					$known = get_site_transient( "update_{$name}s" );
				}
			);
			WP_CLI::add_hook(
				"after_invoke:$name install",
				static function () use ( $name, &$known ) {
					if ( ! is_object( $known ) ) {
						return;
					}
					foreach ( isset( $known->response ) && is_array( $known->response ) ? $known->response : array() as $which => $offer ) {
						$version = 'theme' === $name ? wp_get_theme( $which )->get( 'Version' ) : '';
						$plugins = 'plugin' === $name ? get_plugins() : array();
						$version = isset( $plugins[ $which ] ) ? $plugins[ $which ]['Version'] : $version;
						$offer   = (array) $offer;
						if ( isset( $offer['new_version'] ) && version_compare( $version, $offer['new_version'], '>=' ) ) {
							unset( $known->response[ $which ] );
						}
					}
					set_site_transient( "update_{$name}s", $known );
				}
			);
		};
		$keep( 'plugin' );
		$keep( 'theme' );
	}
);

<?php
/**
 * Loaded for "wptk facts" only (--require): everything worth knowing about an install, in one
 * start of PHP. It reads and changes nothing: no request leaves the process, so that nothing
 * is asked for updates, and WP-Cron stays off (run.php).
 *
 * Every part is read on its own: what a plugin breaks in one is null, and the rest is there.
 *
 * PHP 7.4 syntax.
 */

call_user_func(
	static function () {
		// How many entries a list may have; what is left out is counted in "more".
		$cap = 400;

		WP_CLI::add_wp_hook(
			'pre_http_request',
			static function () {
				return new WP_Error( 'wptk_reading', 'No requests while the install is being read.' );
			},
			PHP_INT_MAX
		);

		$text = static function ( $value, $most = 500 ) {
			return is_scalar( $value ) ? (string) mb_substr( (string) $value, 0, $most ) : '';
		};

		// A constant as it is, or null when it is not defined.
		$constant = static function ( $name ) use ( $text ) {
			if ( ! defined( $name ) ) {
				return null;
			}
			$value = constant( $name );
			return is_bool( $value ) ? $value : $text( $value );
		};

		// What update checks of the past have left; never asks anew.
		$offers = static function ( $name ) {
			$found = get_site_transient( $name );
			return is_object( $found ) ? $found : new stdClass();
		};

		$core = static function () use ( $offers, $text ) {
			global $wp_version, $wp_db_version, $wp_local_package;
			$update = '';
			$found  = $offers( 'update_core' );
			foreach ( isset( $found->updates ) && is_array( $found->updates ) ? $found->updates : array() as $offer ) {
				$version = isset( $offer->response, $offer->version ) && 'upgrade' === $offer->response ? $offer->version : '';
				if ( $version && version_compare( $version, $update ? $update : $wp_version, '>' ) ) {
					$update = $version;
				}
			}
			return array(
				'version'           => $text( $wp_version ),
				'update'            => $text( $update ),
				'checked_at'        => isset( $found->last_checked ) ? (int) $found->last_checked : 0,
				'db_version'        => (int) get_option( 'db_version' ),
				'db_version_wanted' => (int) $wp_db_version,
				'package_language'  => isset( $wp_local_package ) ? $text( $wp_local_package ) : 'en_US',
				'multisite'         => is_multisite(),
				'subdomains'        => is_multisite() && is_subdomain_install(),
				'blogs'             => is_multisite() ? (int) get_sites( array( 'count' => true ) ) : 1,
			);
		};

		$plugins = static function () use ( $offers, $text, $cap ) {
			require_once ABSPATH . 'wp-admin/includes/plugin.php';
			$found = $offers( 'update_plugins' );
			$auto  = (array) get_site_option( 'auto_update_plugins', array() );
			$list  = array();
			foreach ( get_plugins() as $file => $data ) {
				$status = 'inactive';
				if ( is_multisite() && is_plugin_active_for_network( $file ) ) {
					$status = 'active-network';
				} elseif ( is_plugin_active( $file ) ) {
					$status = 'active';
				}
				$offer  = isset( $found->response[ $file ] ) ? (array) $found->response[ $file ] : array();
				$list[] = array(
					'slug'        => '.' === dirname( $file ) ? basename( $file, '.php' ) : dirname( $file ),
					'file'        => $text( $file ),
					'name'        => $text( $data['Name'] ),
					'version'     => $text( $data['Version'], 64 ),
					'status'      => $status,
					'update'      => isset( $offer['new_version'] ) ? $text( $offer['new_version'], 64 ) : '',
					'auto_update' => in_array( $file, $auto, true ),
				);
			}
			foreach ( array(
				'must-use' => get_mu_plugins(),
				'drop-in'  => get_dropins(),
			) as $status => $files ) {
				foreach ( $files as $file => $data ) {
					$list[] = array(
						'slug'        => basename( $file, '.php' ),
						'file'        => $text( $file ),
						'name'        => $text( $data['Name'] ),
						'version'     => $text( $data['Version'], 64 ),
						'status'      => $status,
						'update'      => '',
						'auto_update' => false,
					);
				}
			}
			return array(
				'list'       => array_slice( $list, 0, $cap ),
				'more'       => max( 0, count( $list ) - $cap ),
				'checked_at' => isset( $found->last_checked ) ? (int) $found->last_checked : 0,
			);
		};

		$themes = static function () use ( $offers, $text, $cap ) {
			$found = $offers( 'update_themes' );
			$auto  = (array) get_site_option( 'auto_update_themes', array() );
			$list  = array();
			foreach ( wp_get_themes( array( 'errors' => null ) ) as $slug => $theme ) {
				$status = 'inactive';
				if ( get_option( 'stylesheet' ) === $slug ) {
					$status = 'active';
				} elseif ( get_option( 'template' ) === $slug ) {
					$status = 'parent';
				}
				$offer  = isset( $found->response[ $slug ] ) ? (array) $found->response[ $slug ] : array();
				$errors = $theme->errors();
				$list[] = array(
					'slug'        => $text( $slug ),
					'name'        => $text( $theme->get( 'Name' ) ),
					'version'     => $text( $theme->get( 'Version' ), 64 ),
					'status'      => $status,
					'parent'      => $theme->get_template() === $slug ? '' : $text( $theme->get_template() ),
					'update'      => isset( $offer['new_version'] ) ? $text( $offer['new_version'], 64 ) : '',
					'auto_update' => in_array( $slug, $auto, true ),
					'error'       => $errors ? $text( wp_strip_all_tags( $errors->get_error_message() ) ) : '',
				);
			}
			return array(
				'list'       => array_slice( $list, 0, $cap ),
				'more'       => max( 0, count( $list ) - $cap ),
				'checked_at' => isset( $found->last_checked ) ? (int) $found->last_checked : 0,
			);
		};

		$users = static function () use ( $text ) {
			global $wpdb;
			$total = (int) $wpdb->get_var( "SELECT COUNT(*) FROM $wpdb->users" );
			$roles = null;
			// Roles are counted by reading the meta data of every user.
			if ( $total <= 20000 ) {
				$counted = count_users();
				$roles   = array();
				foreach ( $counted['avail_roles'] as $role => $number ) {
					if ( $number > 0 && count( $roles ) < 50 ) {
						$roles[ $text( $role, 64 ) ] = (int) $number;
					}
				}
			}
			$admins = array();
			foreach ( get_users(
				array(
					'role'    => 'administrator',
					'number'  => 50,
					'orderby' => 'ID',
				)
			) as $user ) {
				$admins[] = array(
					'id'    => (int) $user->ID,
					'login' => $text( $user->user_login ),
					'email' => $text( $user->user_email ),
					'name'  => $text( $user->display_name ),
				);
			}
			return array(
				'total'          => $total,
				'by_role'        => (object) $roles,
				'administrators' => $admins,
				'super_admins'   => is_multisite() ? array_slice( array_map( $text, get_super_admins() ), 0, 50 ) : array(),
			);
		};

		$options = static function () use ( $text ) {
			return array(
				'siteurl'             => $text( get_option( 'siteurl' ), 2000 ),
				'home'                => $text( get_option( 'home' ), 2000 ),
				'blogname'            => $text( wp_specialchars_decode( (string) get_option( 'blogname' ), ENT_QUOTES ) ),
				'admin_email'         => $text( get_option( 'admin_email' ) ),
				'timezone'            => $text( wp_timezone_string() ),
				'locale'              => $text( get_locale() ),
				'permalink_structure' => $text( get_option( 'permalink_structure' ) ),
				'blog_public'         => (bool) get_option( 'blog_public' ),
				'users_can_register'  => (bool) get_option( 'users_can_register' ),
				'default_role'        => $text( get_option( 'default_role' ) ),
			);
		};

		// The head of a drop-in says whose it is.
		$dropin = static function ( $file ) use ( $text ) {
			$path = WP_CONTENT_DIR . '/' . $file;
			if ( ! is_file( $path ) ) {
				return null;
			}
			$head = get_file_data(
				$path,
				array(
					'name'    => 'Plugin Name',
					'version' => 'Version',
				)
			);
			return array(
				'name'    => $text( $head['name'] ),
				'version' => $text( $head['version'], 64 ),
			);
		};

		$cache = static function () use ( $dropin, $constant ) {
			return array(
				'object' => array(
					'enabled' => (bool) wp_using_ext_object_cache(),
					'dropin'  => $dropin( 'object-cache.php' ),
				),
				'page'   => array(
					'enabled' => true === $constant( 'WP_CACHE' ) && is_file( WP_CONTENT_DIR . '/advanced-cache.php' ),
					'dropin'  => $dropin( 'advanced-cache.php' ),
				),
				'opcode' => array(
					'extension' => extension_loaded( 'Zend OPcache' ),
					'enabled'   => (bool) ini_get( 'opcache.enable' ),
				),
			);
		};

		$security = static function () use ( $constant, $text ) {
			global $wpdb;
			$constants = array();
			foreach ( array(
				'DISALLOW_FILE_EDIT',
				'DISALLOW_FILE_MODS',
				'FORCE_SSL_ADMIN',
				'AUTOMATIC_UPDATER_DISABLED',
				'WP_AUTO_UPDATE_CORE',
				'WP_DEBUG',
				'WP_DEBUG_LOG',
				'WP_DEBUG_DISPLAY',
				'SCRIPT_DEBUG',
				'SAVEQUERIES',
				'CONCATENATE_SCRIPTS',
				'WP_HTTP_BLOCK_EXTERNAL',
			) as $name ) {
				$constants[ $name ] = $constant( $name );
			}
			$keys = array();
			foreach ( array( 'AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE' ) as $scheme ) {
				foreach ( array( '_KEY', '_SALT' ) as $kind ) {
					$value = $constant( $scheme . $kind );
					if ( is_string( $value ) && strlen( $value ) >= 32 && 'put your unique phrase here' !== $value ) {
						$keys[ $value ] = true;
					}
				}
			}
			return array(
				'constants'         => $constants,
				'keys_unique'       => 8 === count( $keys ),
				'user_admin_exists' => (bool) get_user_by( 'login', 'admin' ),
				'pingbacks_open'    => 'open' === get_option( 'default_ping_status' ),
				'prefix_default'    => 'wp_' === $wpdb->base_prefix,
				// Where the login page is hidden, and whether what hides it is there (mu/wptk.php).
				'hidden_login'      => $text( is_multisite() ? get_site_option( 'wptk_hide_login', '' ) : get_option( 'wptk_hide_login', '' ), 64 ),
				'login_hider'       => file_exists( WPMU_PLUGIN_DIR . '/wptk.php' ) && false !== $constant( 'WPTK_HIDE_LOGIN' ),
				// The same of limited XML-RPC.
				'xmlrpc_limited'    => '1' === (string) ( is_multisite() ? get_site_option( 'wptk_limit_xmlrpc', '' ) : get_option( 'wptk_limit_xmlrpc', '' ) ),
				'xmlrpc_limiter'    => file_exists( WPMU_PLUGIN_DIR . '/wptk.php' ) && false !== $constant( 'WPTK_LIMIT_XMLRPC' ),
			);
		};

		$database = static function () use ( $text ) {
			global $wpdb;
			$like   = $wpdb->esc_like( $wpdb->base_prefix ) . '%';
			$tables = $wpdb->get_row( $wpdb->prepare( 'SELECT COUNT(*) AS tables, COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS bytes FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME LIKE %s', DB_NAME, $like ) );
			return array(
				'name'           => $text( DB_NAME ),
				'user'           => $text( DB_USER ),
				'host'           => $text( DB_HOST ),
				'prefix'         => $text( $wpdb->base_prefix ),
				'server'         => $text( $wpdb->get_var( 'SELECT VERSION()' ) ),
				'charset'        => $text( $wpdb->charset, 64 ),
				'tables'         => (int) $tables->tables,
				'bytes'          => (int) $tables->bytes,
				'autoload_bytes' => (int) $wpdb->get_var( "SELECT COALESCE(SUM(LENGTH(option_value)), 0) FROM $wpdb->options WHERE autoload NOT IN ('no', 'off', 'auto-off')" ),
			);
		};

		$cron = static function () use ( $constant ) {
			$events  = 0;
			$overdue = 0;
			$next    = 0;
			$all     = _get_cron_array();
			foreach ( is_array( $all ) ? $all : array() as $time => $hooks ) {
				$number  = array_sum( array_map( 'count', (array) $hooks ) );
				$events += $number;
				if ( $time < time() - 600 ) {
					$overdue += $number;
				}
				$next = $next ? min( $next, (int) $time ) : (int) $time;
			}
			return array(
				'disabled' => true === $constant( 'DISABLE_WP_CRON' ),
				'events'   => $events,
				'overdue'  => $overdue,
				'next_at'  => $next,
			);
		};

		$php = static function () use ( $text, $constant ) {
			$extensions = array_map( 'strtolower', get_loaded_extensions() );
			sort( $extensions );
			return array(
				'version'          => PHP_VERSION,
				'extensions'       => array_slice( array_map( $text, $extensions ), 0, 150 ),
				'memory_limit'     => $text( $constant( 'WP_MEMORY_LIMIT' ), 16 ),
				'memory_limit_max' => $text( $constant( 'WP_MAX_MEMORY_LIMIT' ), 16 ),
			);
		};

		WP_CLI::add_command(
			'wptk facts',
			static function () use ( $core, $plugins, $themes, $users, $options, $cache, $security, $database, $cron, $php ) {
				global $wpdb;
				$wpdb->hide_errors();
				$facts  = array();
				$failed = array();
				foreach ( compact( 'core', 'plugins', 'themes', 'users', 'options', 'cache', 'security', 'database', 'cron', 'php' ) as $name => $read ) {
					try {
						$facts[ $name ] = $read();
					} catch ( Throwable $e ) {
						$facts[ $name ] = null;
						$failed[]       = $name;
					}
				}
				$facts['failed'] = $failed;
				echo json_encode( $facts, JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR );
			},
			array( 'shortdesc' => 'Prints everything worth knowing about the install as JSON.' )
		);
	}
);

<?php
/**
 * Loaded for the commands below (--require): users, login links, the hidden login page and limited XML-RPC.
 * What they are told comes by standard input as JSON, since arguments can be read by every
 * user of the host; what they answer is JSON with a "refused", empty when all went well.
 *
 * PHP 7.4 syntax.
 */

call_user_func(
	static function () {
		// Nobody is told by mail: what an operator does is the operator's to announce.
		WP_CLI::add_wp_hook( 'pre_wp_mail', '__return_false', PHP_INT_MAX );

		$add = static function ( $name, $does, $shortdesc ) {
			WP_CLI::add_command(
				'wptk ' . $name,
				static function () use ( $does ) {
					global $wpdb;
					$wpdb->hide_errors();
					$answer = $does( json_decode( stream_get_contents( STDIN ), true ) );
					echo json_encode( $answer + array( 'refused' => '' ), JSON_INVALID_UTF8_SUBSTITUTE );
				},
				array( 'shortdesc' => $shortdesc )
			);
		};

		/*
		 * Users. Passwords are stored and compared with backslashes in front of quotes, which is
		 * how the login form gets them (see run.php).
		 */

		$described = static function ( $user, $password ) {
			clean_user_cache( $user );
			$user = get_user_by( 'id', $user->ID );
			return array(
				'id'      => (int) $user->ID,
				'login'   => $user->user_login,
				'email'   => $user->user_email,
				'roles'   => array_values( $user->roles ),
				'matches' => wp_check_password( wp_slash( $password ), $user->user_pass, $user->ID ),
			);
		};

		// The user that an operation made is marked with it, so that it knows its own again.
		$mark = 'wptk_op';

		$create = static function ( $in ) use ( $described, $mark ) {
			global $wpdb;
			$user  = get_user_by( 'login', $in['login'] );
			$owner = get_user_by( 'email', $in['email'] );
			if ( $user && get_user_meta( $user->ID, $mark, true ) !== $in['op'] ) {
				return array( 'refused' => 'user_exists' );
			}
			if ( $owner && ( ! $user || $owner->ID !== $user->ID ) ) {
				return array( 'refused' => 'email_exists' );
			}
			if ( ! wp_roles()->is_role( $in['role'] ) ) {
				return array(
					'refused' => 'no_role',
					'roles'   => array_slice( array_keys( wp_roles()->roles ), 0, 50 ),
				);
			}
			if ( ! $user ) {
				// Both or none: a user without the mark would be nobody's.
				$wpdb->query( 'START TRANSACTION' );
				$id = wp_insert_user(
					wp_slash(
						array(
							'user_login' => $in['login'],
							'user_email' => $in['email'],
							'user_pass'  => $in['password'],
							'role'       => $in['role'],
						)
					)
				);
				if ( is_wp_error( $id ) ) {
					$wpdb->query( 'ROLLBACK' );
					return array(
						'refused' => 'wordpress',
						'message' => wp_strip_all_tags( $id->get_error_message() ),
					);
				}
				update_user_meta( $id, $mark, $in['op'] );
				if ( is_multisite() ) {
					add_user_to_blog( get_current_blog_id(), $id, $in['role'] );
				}
				$wpdb->query( 'COMMIT' );
				$user = get_user_by( 'id', $id );
			} else {
				wp_set_password( wp_slash( $in['password'] ), $user->ID );
			}
			return $described( $user, $in['password'] );
		};

		$remove = static function ( $in ) use ( $mark ) {
			$user = get_user_by( 'login', $in['login'] );
			if ( ! $user || get_user_meta( $user->ID, $mark, true ) !== $in['op'] ) {
				return array( 'removed' => false ); // Never made, or somebody else's.
			}
			require_once ABSPATH . 'wp-admin/includes/user.php';
			if ( is_multisite() ) {
				require_once ABSPATH . 'wp-admin/includes/ms.php';
				return array( 'removed' => (bool) wpmu_delete_user( $user->ID ) );
			}
			return array( 'removed' => (bool) wp_delete_user( $user->ID ) );
		};

		$reset = static function ( $in ) use ( $described ) {
			$user = get_user_by( 'login', $in['login'] );
			if ( ! $user ) {
				return array( 'refused' => 'no_user' );
			}
			wp_set_password( wp_slash( $in['password'] ), $user->ID );
			$sessions = WP_Session_Tokens::get_instance( $user->ID );
			$sessions->destroy_all();
			return $described( $user, $in['password'] ) + array( 'sessions' => count( $sessions->get_all() ) );
		};

		/*
		 * The must-use plugin that serves login links and the hidden login page (mu/wptk.php).
		 */

		// Holds off the plugin, which removes itself when it finds nothing to do.
		$locked = static function ( $does ) {
			global $wpdb;
			$lock = 'wptk:' . md5( DB_NAME . $wpdb->base_prefix );
			if ( '1' !== $wpdb->get_var( $wpdb->prepare( 'SELECT GET_LOCK(%s, 10)', $lock ) ) ) {
				return array( 'refused' => 'busy' );
			}
			try {
				return $does();
			} finally {
				$wpdb->query( $wpdb->prepare( 'SELECT RELEASE_LOCK(%s)', $lock ) );
			}
		};

		$ours = static function ( $content ) {
			return is_string( $content ) && false !== strpos( substr( $content, 0, 200 ), 'Plugin Name: WisPanel Toolkit' );
		};

		// Puts the plugin in place, or makes it young again. Answers why it is not there.
		$install = static function ( $source ) use ( $ours ) {
			$file = WPMU_PLUGIN_DIR . '/wptk.php';
			if ( ! is_dir( WPMU_PLUGIN_DIR ) && ! @mkdir( WPMU_PLUGIN_DIR, 0755, true ) ) {
				return 'not_written';
			}
			if ( file_exists( $file ) || is_link( $file ) ) {
				$there = @file_get_contents( $file );
				if ( $there === $source && @touch( $file ) ) {
					return '';
				}
				if ( ! $ours( $there ) ) {
					return 'foreign_file';
				}
			}
			// No .php at its end: WordPress must not load half of it.
			$beside = WPMU_PLUGIN_DIR . '/.wptk-' . bin2hex( random_bytes( 8 ) );
			if ( strlen( $source ) === @file_put_contents( $beside, $source ) && @chmod( $beside, 0644 ) && @rename( $beside, $file ) ) {
				return '';
			}
			@unlink( $beside );
			return 'not_written';
		};

		$links = 'wptk_login_'; // And the token's SHA-256: options that nothing loads by itself.

		$slug = static function () {
			return (string) ( is_multisite() ? get_site_option( 'wptk_hide_login', '' ) : get_option( 'wptk_hide_login', '' ) );
		};

		$limited = static function () {
			return '1' === (string) ( is_multisite() ? get_site_option( 'wptk_limit_xmlrpc', '' ) : get_option( 'wptk_limit_xmlrpc', '' ) );
		};

		// Removes the plugin, and the login links that have run out, if nothing is left to serve.
		$tidy = static function () use ( $links, $slug, $limited, $ours ) {
			global $wpdb;
			$young  = 0;
			$stored = $wpdb->get_results( $wpdb->prepare( "SELECT option_name, option_value FROM $wpdb->options WHERE option_name LIKE %s", $wpdb->esc_like( $links ) . '%' ) );
			foreach ( $stored as $row ) {
				$link = json_decode( $row->option_value, true );
				if ( is_array( $link ) && $link['expires'] >= time() ) {
					++$young;
				} else {
					$wpdb->delete( $wpdb->options, array( 'option_name' => $row->option_name ) );
				}
			}
			$file = WPMU_PLUGIN_DIR . '/wptk.php';
			if ( 0 === $young && '' === $slug() && ! $limited() && '' === (string) get_option( 'wptk_staging', '' ) && $ours( @file_get_contents( $file, false, null, 0, 200 ) ) ) {
				@unlink( $file );
			}
		};

		/*
		 * Login links.
		 */

		$find = static function ( $login ) {
			if ( '' !== $login ) {
				$user = get_user_by( 'login', $login );
			} elseif ( is_multisite() ) {
				$admins = get_super_admins();
				$user   = get_user_by( 'login', (string) reset( $admins ) );
			} else {
				$found = get_users(
					array(
						'role'    => 'administrator',
						'orderby' => 'ID',
						'number'  => 1,
					)
				);
				$user  = reset( $found );
			}
			if ( $user && is_multisite() && ! is_super_admin( $user->ID ) && ! is_user_member_of_blog( $user->ID ) ) {
				return false;
			}
			return $user;
		};

		// The address to go to after the login; empty when it is not one of this site.
		$target = static function ( $redirect ) {
			if ( '' === $redirect ) {
				return admin_url();
			}
			$path = rawurldecode( (string) strtok( $redirect, '?#' ) );
			if ( preg_match( '~[\\\\\x00-\x20\x7f]|//.*//|/\.{1,2}(/|$)~', $path ) ) {
				return '';
			}
			if ( '/' === $redirect[0] ) {
				return '/' === substr( $redirect, 1, 1 ) ? '' : site_url( $redirect );
			}
			$to = wp_parse_url( $redirect );
			if ( ! isset( $to['scheme'], $to['host'] ) || isset( $to['user'] ) || isset( $to['pass'] ) ) {
				return '';
			}
			foreach ( array( home_url( '/' ), site_url( '/' ) ) as $base ) {
				$own  = wp_parse_url( $base );
				$same = in_array( $to['scheme'], array( 'http', 'https' ), true )
					&& strtolower( $to['host'] ) === strtolower( $own['host'] )
					&& ( isset( $to['port'] ) ? $to['port'] : 0 ) === ( isset( $own['port'] ) ? $own['port'] : 0 );
				if ( $same && 0 === strpos( trailingslashit( isset( $to['path'] ) ? $to['path'] : '' ), $own['path'] ) ) {
					$rest = substr( $redirect, strlen( $to['scheme'] . '://' . $to['host'] ) );
					return $to['scheme'] . '://' . strtolower( $to['host'] ) . $rest;
				}
			}
			return '';
		};

		$issue = static function ( $in ) use ( $find, $target, $locked, $tidy, $install, $links ) {
			$user = $find( $in['login'] );
			$to   = $target( $in['redirect'] );
			if ( ! $user || '' === $to ) {
				return array( 'refused' => $user ? 'bad_redirect' : 'no_user' );
			}
			return $locked(
				static function () use ( $in, $user, $to, $tidy, $install, $links ) {
					global $wpdb;
					$tidy();
					$refused = $install( $in['plugin'] );
					if ( '' !== $refused ) {
						return array( 'refused' => $refused );
					}
					$link = array(
						'user'     => (int) $user->ID,
						'login'    => $user->user_login,
						'site'     => get_option( 'siteurl' ),
						'op'       => $in['op'],
						'redirect' => $to,
						'expires'  => time() + $in['seconds'],
					);
					$done = $wpdb->replace(
						$wpdb->options,
						array(
							'option_name'  => $links . $in['hash'],
							'option_value' => json_encode( $link ),
							'autoload'     => 'no',
						)
					);
					return array(
						'refused'  => $done ? '' : 'not_stored',
						'id'       => $link['user'],
						'login'    => $link['login'],
						'address'  => trailingslashit( $link['site'] ),
						'redirect' => $to,
						'expires'  => $link['expires'],
					);
				}
			);
		};

		$revoke = static function ( $in ) use ( $locked, $tidy, $links ) {
			return $locked(
				static function () use ( $in, $tidy, $links ) {
					global $wpdb;
					$wpdb->delete( $wpdb->options, array( 'option_name' => $links . $in['hash'] ) );
					$tidy();
					return array();
				}
			);
		};

		/*
		 * The hidden login page.
		 */

		// What the address /slug/ belongs to already, in words; empty when it is free.
		$taken = static function ( $slug ) {
			global $wpdb, $wp_rewrite;
			$post = $wpdb->get_var(
				$wpdb->prepare(
					"SELECT ID FROM $wpdb->posts WHERE post_name = %s AND post_status IN ('publish', 'future', 'draft', 'pending', 'private')
					AND post_type NOT IN ('revision', 'nav_menu_item') AND ( post_type <> 'page' OR post_parent = 0 ) LIMIT 1",
					$slug
				)
			);
			if ( $post ) {
				return 'a page or post';
			}
			$bases = array( 'feed', 'rdf', 'rss', 'rss2', 'atom', 'embed', 'sitemap', 'robots', 'favicon', 'index', rest_get_url_prefix() );
			foreach ( array( 'author_base', 'search_base', 'comments_base', 'pagination_base', 'comments_pagination_base', 'feed_base' ) as $name ) {
				$bases[] = $wp_rewrite->$name;
			}
			foreach ( array( 'category_base', 'tag_base' ) as $name ) {
				$bases[] = trim( (string) get_option( $name ), '/' );
			}
			$front = explode( '/', trim( (string) get_option( 'permalink_structure' ), '/' ) );
			$rules = get_option( 'rewrite_rules' );
			if ( in_array( $slug, array_merge( $bases, $front, array( 'category', 'tag' ) ), true ) || isset( $rules[ $slug . '/?$' ] ) ) {
				return 'another part of the site';
			}
			if ( false !== strpos( $front[0], '%category%' ) && term_exists( $slug, 'category' ) ) {
				return 'a category';
			}
			if ( file_exists( ABSPATH . $slug ) ) {
				return 'a file or directory';
			}
			if ( is_multisite() && ! is_subdomain_install() ) {
				$network = get_network();
				if ( domain_exists( $network->domain, $network->path . $slug . '/', $network->id ) || in_array( $slug, get_subdirectory_reserved_names(), true ) ) {
					return 'a site of the network';
				}
			}
			return '';
		};

		$described_door = static function ( $was ) use ( $slug ) {
			$site = trailingslashit( get_option( 'siteurl' ) );
			$door = $slug();
			$path = get_option( 'permalink_structure' ) ? $door . '/' : '?' . $door;
			$off  = defined( 'WPTK_HIDE_LOGIN' ) && ! WPTK_HIDE_LOGIN;
			return array(
				'was'   => $was,
				'slug'  => $door,
				'url'   => $site . ( '' === $door || $off ? 'wp-login.php' : $path ),
				'off'   => $off,
				'there' => file_exists( WPMU_PLUGIN_DIR . '/wptk.php' ),
			);
		};

		// With "check" it only tells whether the slug is free, and which one there is.
		$hide = static function ( $in ) use ( $slug, $taken, $locked, $install, $tidy, $described_door ) {
			$was  = $slug();
			$free = '' === $in['slug'] || $was === $in['slug'] ? '' : $taken( $in['slug'] );
			if ( '' !== $free ) {
				return array(
					'refused' => 'slug_taken',
					'message' => $free,
				);
			}
			if ( $in['check'] ) {
				return $described_door( $was );
			}
			return $locked(
				static function () use ( $in, $was, $install, $tidy, $described_door ) {
					// The file first: the option without it would hide nothing and say that it does.
					$refused = '' === $in['slug'] ? '' : $install( $in['plugin'] );
					if ( '' !== $refused ) {
						return array( 'refused' => $refused );
					}
					if ( is_multisite() ) {
						'' === $in['slug'] ? delete_site_option( 'wptk_hide_login' ) : update_site_option( 'wptk_hide_login', $in['slug'] );
					} else {
						'' === $in['slug'] ? delete_option( 'wptk_hide_login' ) : update_option( 'wptk_hide_login', $in['slug'], true );
					}
					$tidy();
					return $described_door( $was );
				}
			);
		};

		/*
		 * Limited XML-RPC.
		 */

		$described_limit = static function () use ( $limited, $ours ) {
			return array(
				'limited'   => $limited(),
				'there'     => $ours( @file_get_contents( WPMU_PLUGIN_DIR . '/wptk.php', false, null, 0, 200 ) ),
				'directory' => is_dir( WPMU_PLUGIN_DIR ),
				'off'       => defined( 'WPTK_LIMIT_XMLRPC' ) && ! WPTK_LIMIT_XMLRPC,
			);
		};

		// "do": look, limit, or free; with drop_directory a directory of must-use plugins that
		// is empty afterwards goes, too.
		$limit = static function ( $in ) use ( $locked, $install, $tidy, $described_limit ) {
			if ( 'look' === $in['do'] ) {
				return $described_limit();
			}
			return $locked(
				static function () use ( $in, $install, $tidy, $described_limit ) {
					$on = 'limit' === $in['do'];
					// The file first: the option without it would limit nothing and say that it does.
					$refused = $on ? $install( $in['plugin'] ) : '';
					if ( '' !== $refused ) {
						return array( 'refused' => $refused );
					}
					if ( is_multisite() ) {
						$on ? update_site_option( 'wptk_limit_xmlrpc', '1' ) : delete_site_option( 'wptk_limit_xmlrpc' );
					} else {
						$on ? update_option( 'wptk_limit_xmlrpc', '1', true ) : delete_option( 'wptk_limit_xmlrpc' );
					}
					$tidy();
					if ( $in['drop_directory'] ) {
						@rmdir( WPMU_PLUGIN_DIR );
					}
					clearstatcache();
					return $described_limit();
				}
			);
		};

		/*
		 * A copy of a site, before anybody sees it.
		 */

		// What lets somebody in stays with the original: login links, and where its login page
		// is. A staging copy asks search engines to stay away and sends no mail (mu/wptk.php).
		// The option holds the original's blog_public, for when the copy ends to be one.
		$settle = static function ( $in ) use ( $install, $locked, $tidy, $links ) {
			return $locked(
				static function () use ( $in, $install, $tidy, $links ) {
					global $wpdb;
					$wpdb->query( $wpdb->prepare( "DELETE FROM $wpdb->options WHERE option_name LIKE %s", $wpdb->esc_like( $links ) . '%' ) );
					delete_option( 'wptk_hide_login' );
					delete_transient( 'doing_cron' ); // The lock of a run of the original's.
					$was = (string) get_option( 'wptk_staging', '' );
					if ( $in['staging'] ) {
						// The file first: the option without it would guard nothing and say that it does.
						$refused = $install( $in['plugin'] );
						if ( '' !== $refused ) {
							return array( 'refused' => $refused );
						}
						update_option( 'wptk_staging', '' !== $was ? $was : (string) (int) get_option( 'blog_public' ), true );
						update_option( 'blog_public', '0' );
					} elseif ( '' !== $was ) {
						delete_option( 'wptk_staging' );
						update_option( 'blog_public', $was );
					}
					if ( '' !== $in['title'] ) {
						update_option( 'blogname', $in['title'] );
					}
					$tidy();
					wp_cache_flush();
					return array(
						'staging' => '' !== (string) get_option( 'wptk_staging', '' ) && file_exists( WPMU_PLUGIN_DIR . '/wptk.php' ),
						'public'  => '0' !== (string) get_option( 'blog_public' ),
						'title'   => wp_specialchars_decode( get_option( 'blogname' ), ENT_QUOTES ),
						'version' => get_bloginfo( 'version' ),
						'siteurl' => (string) get_option( 'siteurl' ),
					);
				}
			);
		};

		$add( 'create-user', $create, 'Makes a user, marked with the operation that asked.' );
		$add( 'remove-user', $remove, 'Removes a user that carries the mark of the operation.' );
		$add( 'reset-password', $reset, 'Sets a password and ends the sessions of the user.' );
		$add( 'issue-login', $issue, 'Stores the hash of a login token.' );
		$add( 'revoke-login', $revoke, 'Forgets a login token.' );
		$add( 'settle-copy', $settle, 'Makes a copy of a site one of its own.' );
		$add( 'limit-xmlrpc', $limit, 'Takes bundles of calls and pingbacks out of XML-RPC, or puts them back.' );
		$add( 'hide-login', $hide, 'Hides the login page behind a slug, or shows it again.' );
	}
);

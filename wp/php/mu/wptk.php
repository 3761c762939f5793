<?php
/**
 * Plugin Name: WisPanel Toolkit
 * Description: Serves one-time login links, hides the login page, limits XML-RPC, and keeps a staging copy from sending mail. The hosting panel puts it here when one of them is asked for; it removes itself when none is in use.
 * Version:     1.1.0
 * Author:      WisPanel
 *
 * Login links: the panel's node writes the hash of a token into the options table, for one
 * user and sixty seconds. Whoever brings the token within that time, once, is logged in.
 *
 * Hidden login page: with a slug in the option "wptk_hide_login" WordPress logs people in
 * at /slug/, and wp-login.php and wp-admin are not found by those who are not logged in.
 * That keeps guessing robots away, it protects nothing. Locked out? Put
 * define( 'WPTK_HIDE_LOGIN', false ); into wp-config.php.
 *
 * Limited XML-RPC: while the option "wptk_limit_xmlrpc" is there, apps go on talking to
 * xmlrpc.php, but no request holds a bundle of calls, with hundreds of guesses at passwords
 * in it, and nobody is pinged. define( 'WPTK_LIMIT_XMLRPC', false ); suspends that.
 *
 * Staging: while the option "wptk_staging" is there, no mail leaves the site and search
 * engines are told to pass it over. To end that, delete the option, or put
 * define( 'WPTK_STAGING', false ); into wp-config.php; define( 'WPTK_ALLOW_MAIL', true );
 * lets mails through alone.
 *
 * PHP 7.4 syntax.
 *
 * @package WisPanel
 */

namespace WisPanel\Toolkit;

if ( ! defined( 'ABSPATH' ) ) {
	exit;
}

const LOGIN_FIELD = 'wptk-login';      // In the link and in the form.
const LOGIN_NAME  = 'wptk_login_';     // Option of a link: this and the token's SHA-256.
const SLUG_OPTION = 'wptk_hide_login';
const XMLRPC      = 'wptk_limit_xmlrpc'; // Option, "1" while XML-RPC is limited.
const STAGING     = 'wptk_staging';    // Option of a staging copy: what blog_public was in the original.
const LEASE       = 300;               // Seconds that this file stays without a slug after it was last written or touched.

if ( ! defined( 'WP_CLI' ) ) {
	serve_login();
	remove_unused();
}
if ( '' !== slug() ) {
	hide_login();
}
if ( is_xmlrpc_limited() ) {
	limit_xmlrpc();
}
if ( is_staging() ) {
	guard_staging();
}

/**
 * Was XML-RPC limited, whether or not wp-config.php suspends that?
 *
 * @return bool
 */
function has_limit() {
	return '1' === (string) ( is_multisite() ? get_site_option( XMLRPC, '' ) : get_option( XMLRPC, '' ) );
}

/**
 * Is XML-RPC limited?
 *
 * @return bool
 */
function is_xmlrpc_limited() {
	return has_limit() && ( ! defined( 'WPTK_LIMIT_XMLRPC' ) || WPTK_LIMIT_XMLRPC );
}

/**
 * Leaves XML-RPC to those who make one call at a time with a name and a password.
 */
function limit_xmlrpc() {
	add_filter(
		'xmlrpc_methods',
		static function ( $methods ) {
			return is_array( $methods ) ? array_filter( $methods, __NAMESPACE__ . '\is_single_call', ARRAY_FILTER_USE_KEY ) : $methods;
		},
		PHP_INT_MAX
	);
	// The server adds system.multicall behind that filter, which no filter is for. This one
	// comes when it has all its methods and has not read the call yet, and whichever class
	// another plugin has made it of.
	add_filter(
		'xmlrpc_element_limit',
		static function ( $limit ) {
			global $wp_xmlrpc_server;
			if ( isset( $wp_xmlrpc_server->callbacks ) && is_array( $wp_xmlrpc_server->callbacks ) ) {
				$wp_xmlrpc_server->callbacks = array_filter( $wp_xmlrpc_server->callbacks, __NAMESPACE__ . '\is_single_call', ARRAY_FILTER_USE_KEY );
			}
			if ( isset( $wp_xmlrpc_server->capabilities ) && is_array( $wp_xmlrpc_server->capabilities ) ) {
				unset( $wp_xmlrpc_server->capabilities['system.multicall'] );
			}
			return $limit;
		}
	);
	add_filter(
		'wp_headers',
		static function ( $headers ) {
			if ( is_array( $headers ) ) {
				unset( $headers['X-Pingback'] );
			}
			return $headers;
		},
		PHP_INT_MAX
	);
	// WordPress before 6.1 sends it past that filter.
	add_action(
		'wp',
		static function () {
			if ( ! headers_sent() ) {
				header_remove( 'X-Pingback' );
			}
		},
		PHP_INT_MAX
	);
}

/**
 * Is a method of XML-RPC neither a bundle of others nor a pingback?
 *
 * @param string $method Its name.
 * @return bool
 */
function is_single_call( $method ) {
	return 'system.multicall' !== $method && 0 !== strpos( (string) $method, 'pingback.' );
}

/**
 * Is this a staging copy, and its guard not switched off?
 *
 * @return bool
 */
function is_staging() {
	return '' !== (string) get_option( STAGING, '' ) && ( ! defined( 'WPTK_STAGING' ) || WPTK_STAGING );
}

/**
 * Keeps mails in and search engines out. A plugin that talks to a mail service on its own,
 * past wp_mail(), cannot be stopped from here.
 */
function guard_staging() {
	if ( ! defined( 'WPTK_ALLOW_MAIL' ) || ! WPTK_ALLOW_MAIL ) {
		// "Sent", so that a form or an order does not report a failure that is none.
		add_filter( 'pre_wp_mail', '__return_true', PHP_INT_MAX );
		// Plugins that replace wp_mail() know this filter at least, WordPress before 5.7 both.
		add_filter(
			'wp_mail',
			static function ( $mail ) {
				return is_array( $mail ) ? array( 'to' => array() ) + $mail : $mail;
			},
			PHP_INT_MAX
		);
		add_action(
			'phpmailer_init',
			static function ( $mailer ) {
				$mailer->clearAllRecipients();
			},
			PHP_INT_MAX
		);
		add_action(
			'admin_notices',
			static function () {
				echo '<div class="notice notice-info"><p>This is a staging copy: it sends no mail, and asks search engines to stay away.</p></div>';
			}
		);
	}
	add_filter(
		'wp_headers',
		static function ( $headers ) {
			return array( 'X-Robots-Tag' => 'noindex, nofollow' ) + (array) $headers;
		},
		PHP_INT_MAX
	);
}

/**
 * Answers a request that brings a login link, and ends it. This happens while must-use
 * plugins are loaded: a plugin or a theme that breaks the site cannot break it.
 */
function serve_login() {
	// phpcs:disable WordPress.Security.NonceVerification, WordPress.CSRF -- The token is the proof, and it is not stored here.
	$given = isset( $_POST[ LOGIN_FIELD ] ) ? $_POST[ LOGIN_FIELD ] : ( isset( $_GET[ LOGIN_FIELD ] ) ? $_GET[ LOGIN_FIELD ] : null ); // phpcs:ignore WordPress.Security.ValidatedSanitizedInput -- Below.
	if ( null === $given ) {
		return;
	}
	$token  = is_string( $given ) && preg_match( '/^[A-Za-z0-9_-]{43}$/D', $given ) ? $given : '';
	$posted = isset( $_POST[ LOGIN_FIELD ] );
	// phpcs:enable
	$link = find_link( $token );
	// A look at the link is free: chat programs and mail scanners fetch what they are shown.
	if ( $link && ! $posted ) {
		offer_login( $link, $token );
	} elseif ( $link && use_up( $token ) ) {
		log_in( $link );
	} else {
		headers( 403 );
		page( 'This login link is not valid', '<p>It has been used already, or it is older than a minute. Ask for a new one.</p>' );
	}
	exit;
}

/**
 * Reads what a token stands for; null when it is not good for this site and a user of it.
 *
 * @param string $token The token.
 * @return array|null With user (a WP_User) and redirect.
 */
function find_link( $token ) {
	global $wpdb;
	// Past the object cache, which may be stale in the one moment that counts.
	$stored = $wpdb->get_var( $wpdb->prepare( "SELECT option_value FROM $wpdb->options WHERE option_name = %s", LOGIN_NAME . hash( 'sha256', $token ) ) ); // phpcs:ignore WordPress.DB.DirectDatabaseQuery
	$link   = json_decode( (string) $stored, true );
	if ( ! is_array( $link ) || $link['expires'] < time() || get_option( 'siteurl' ) !== $link['site'] ) {
		return null;
	}
	$user = new \WP_User( (int) $link['user'] );
	if ( ! $user->exists() || $user->user_login !== $link['login'] ) {
		return null;
	}
	return array(
		'user'     => $user,
		'redirect' => $link['redirect'],
	);
}

/**
 * Takes a token out of the world. Of any number of requests at the same time one is told true.
 *
 * @param string $token The token.
 * @return bool
 */
function use_up( $token ) {
	global $wpdb;
	return 1 === $wpdb->delete( $wpdb->options, array( 'option_name' => LOGIN_NAME . hash( 'sha256', $token ) ) ); // phpcs:ignore WordPress.DB.DirectDatabaseQuery
}

/**
 * Logs the browser in and sends it on.
 *
 * @param array $link From find_link().
 */
function log_in( $link ) {
	// All of this comes later in a usual request, behind the plugins.
	if ( is_multisite() ) {
		ms_cookie_constants();
	}
	wp_cookie_constants();
	wp_ssl_constants();
	require_once ABSPATH . WPINC . '/pluggable.php';

	wp_set_auth_cookie( $link['user']->ID );
	add_filter(
		'allowed_redirect_hosts',
		static function ( $hosts ) {
			$hosts[] = wp_parse_url( get_option( 'siteurl' ), PHP_URL_HOST );
			return $hosts;
		}
	);
	headers( 303 );
	wp_safe_redirect( $link['redirect'], 303, 'WisPanel' );
}

/**
 * Shows the button that uses a login link.
 *
 * @param array  $link  From find_link().
 * @param string $token The token.
 */
function offer_login( $link, $token ) {
	headers( 200 );
	page(
		'Log in to ' . wp_specialchars_decode( get_option( 'blogname' ), ENT_QUOTES ),
		sprintf(
			'<form method="post" action="%s"><input type="hidden" name="%s" value="%s"><button autofocus>Log in as %s</button></form><p>The link works once.</p>',
			esc_url( trailingslashit( (string) wp_parse_url( get_option( 'siteurl' ), PHP_URL_PATH ) ) ),
			LOGIN_FIELD,
			esc_attr( $token ),
			esc_html( $link['user']->user_login )
		)
	);
}

/**
 * Sends the headers of an answer that nobody may keep, index, frame or learn the address of.
 *
 * @param int $status The HTTP status.
 */
function headers( $status ) {
	status_header( $status );
	header( 'Content-Type: text/html; charset=utf-8' );
	header( 'Cache-Control: no-store, private' );
	header( 'Referrer-Policy: no-referrer' );
	header( 'X-Robots-Tag: noindex, nofollow, noarchive' );
	header( 'X-Frame-Options: DENY' );
	header( "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'" );
}

/**
 * Prints a page.
 *
 * @param string $title   Text.
 * @param string $content HTML.
 */
function page( $title, $content ) {
	printf(
		'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex"><title>%1$s</title><style>body{font:16px/1.5 system-ui,sans-serif;color:#1d2327;background:#f0f0f1;margin:0;display:grid;place-items:center;min-height:100vh}main{background:#fff;border:1px solid #c3c4c7;border-radius:4px;padding:2rem;max-width:24rem;text-align:center;overflow-wrap:anywhere}h1{font-size:1.25rem;margin:0 0 1rem}button{font:inherit;color:#fff;background:#2271b1;border:0;border-radius:3px;padding:.6rem 1.2rem;cursor:pointer}p{margin:1rem 0 0;color:#646970}</style></head><body><main><h1>%1$s</h1>%2$s</main></body></html>',
		esc_html( $title ),
		$content // phpcs:ignore WordPress.Security.EscapeOutput, WordPress.XSS -- HTML of this file, its values escaped.
	);
}

/**
 * Removes this file when nothing uses it: the login page is not hidden, XML-RPC not limited,
 * this is no staging copy, and no login link can be young enough, since making one touches the file.
 */
function remove_unused() {
	global $wpdb;
	if ( '' !== stored_slug() || has_limit() || '' !== (string) get_option( STAGING, '' ) || time() - filemtime( __FILE__ ) < LEASE || ! is_writable( __DIR__ ) ) { // phpcs:ignore WordPress.WP.AlternativeFunctions
		return;
	}
	// The panel's node holds the same lock while it puts the file here.
	$lock = 'wptk:' . md5( DB_NAME . $wpdb->base_prefix );
	// phpcs:disable WordPress.DB.DirectDatabaseQuery
	if ( '1' !== $wpdb->get_var( $wpdb->prepare( 'SELECT GET_LOCK(%s, 0)', $lock ) ) ) {
		return;
	}
	clearstatcache( true, __FILE__ );
	if ( file_exists( __FILE__ ) && time() - filemtime( __FILE__ ) >= LEASE ) {
		$wpdb->query( $wpdb->prepare( "DELETE FROM $wpdb->options WHERE option_name LIKE %s", $wpdb->esc_like( LOGIN_NAME ) . '%' ) );
		wp_delete_file( __FILE__ );
	}
	$wpdb->query( $wpdb->prepare( 'SELECT RELEASE_LOCK(%s)', $lock ) );
	// phpcs:enable
}

/**
 * The slug that was chosen; empty when the login page is not hidden.
 *
 * @return string
 */
function stored_slug() {
	$slug = is_multisite() ? get_site_option( SLUG_OPTION, '' ) : get_option( SLUG_OPTION, '' );
	return is_string( $slug ) && preg_match( '/^[a-z0-9-]{3,40}$/D', $slug ) ? $slug : '';
}

/**
 * The slug in force: none when wp-config.php switches it off.
 *
 * @return string
 */
function slug() {
	return defined( 'WPTK_HIDE_LOGIN' ) && ! WPTK_HIDE_LOGIN ? '' : stored_slug();
}

/**
 * Moves the login page to its slug, and leaves nothing where it was.
 */
function hide_login() {
	add_filter( 'site_url', __NAMESPACE__ . '\move_url', PHP_INT_MAX, 2 );
	add_filter( 'network_site_url', __NAMESPACE__ . '\move_url', PHP_INT_MAX, 2 );
	// The mail to the owner of a new site of a network.
	add_filter(
		'update_welcome_email',
		static function ( $text ) {
			return str_replace( 'wp-login.php', move_url( 'wp-login.php', 'wp-login.php' ), $text );
		}
	);
	// WordPress would tell everybody who asks for /login where that is.
	remove_action( 'template_redirect', 'wp_redirect_admin_locations', 1000 );
	if ( defined( 'WP_CLI' ) ) {
		return;
	}
	if ( at_door() ) {
		open_door();
	} elseif ( is_hidden() ) {
		add_action( 'setup_theme', __NAMESPACE__ . '\refuse_strangers', PHP_INT_MIN ); // The customizer's redirect comes next.
	}
}

/**
 * Puts the slug into an address of the login page.
 *
 * @param string $url  What WordPress made of the path.
 * @param string $path The path, with its query.
 * @return string
 */
function move_url( $url, $path ) {
	if ( ! is_string( $path ) || ! preg_match( '~^/?wp-login\.php(?:\?|$)~', $path ) || ! preg_match( '~^(.*?)wp-login\.php(?:\?(.*))?$~s', $url, $part ) ) {
		return $url;
	}
	$query = isset( $part[2] ) ? $part[2] : '';
	wp_parse_str( $query, $args );
	// The form of a protected post is on a public page, which must not tell the slug.
	if ( isset( $args['action'] ) && 'postpass' === $args['action'] ) {
		return $url;
	}
	if ( get_option( 'permalink_structure' ) ) {
		return $part[1] . slug() . '/' . ( '' === $query ? '' : '?' . $query );
	}
	return $part[1] . '?' . slug() . ( '' === $query ? '' : '&' . $query );
}

/**
 * Is this a request for the login page, at its slug?
 *
 * @return bool
 */
function at_door() {
	// phpcs:disable WordPress.Security, WordPress.CSRF -- Compared and not used; a login form carries no nonce.
	$path = isset( $_SERVER['REQUEST_URI'] ) ? (string) wp_parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH ) : '';
	$site = trim( (string) wp_parse_url( get_option( 'siteurl' ), PHP_URL_PATH ), '/' );
	if ( trim( $site . '/' . slug(), '/' ) === trim( $path, '/' ) ) {
		return true;
	}
	return ! get_option( 'permalink_structure' ) && trim( $path, '/' ) === $site && isset( $_GET[ slug() ] );
	// phpcs:enable
}

/**
 * Makes this request one for wp-login.php.
 */
function open_door() {
	$door = move_url( 'wp-login.php', 'wp-login.php' );
	$site = trailingslashit( (string) wp_parse_url( get_option( 'siteurl' ), PHP_URL_PATH ) );
	// What $pagenow and is_login() look at; recovery links need them.
	$_SERVER['PHP_SELF']    = $site . 'wp-login.php';
	$_SERVER['SCRIPT_NAME'] = $site . $door;
	if ( ! defined( 'DONOTCACHEPAGE' ) ) {
		define( 'DONOTCACHEPAGE', true ); // phpcs:ignore WordPress.NamingConventions.PrefixAllGlobals -- Of the page caches.
	}
	// Its form would drop the slug from an address that has it in the query.
	if ( ! get_option( 'permalink_structure' ) ) {
		add_filter( 'login_display_language_dropdown', '__return_false' );
	}
	// Only here: elsewhere a visitor could have a redirect to wp-login.php answered with the slug.
	add_filter(
		'wp_redirect',
		static function ( $location ) {
			$path = (string) wp_parse_url( $location, PHP_URL_PATH );
			$host = wp_parse_url( $location, PHP_URL_HOST );
			if ( 'wp-login.php' !== wp_basename( $path ) || $host && wp_parse_url( get_option( 'siteurl' ), PHP_URL_HOST ) !== $host ) {
				return $location;
			}
			$query = (string) wp_parse_url( $location, PHP_URL_QUERY );
			return site_url( 'wp-login.php' . ( '' === $query ? '' : '?' . $query ), 'login' );
		}
	);
	add_action(
		'wp_loaded',
		static function () {
			global $error, $interim_login, $action, $user_login; // As if it had been called by itself.
			require ABSPATH . 'wp-login.php';
			exit;
		},
		PHP_INT_MAX
	);
}

/**
 * Does the request run one of the scripts that are hidden?
 *
 * @return bool
 */
function is_hidden() {
	// Both redirect to the login page where nobody can sign up.
	if ( runs( 'wp-login.php' ) || ! is_multisite() && ( runs( 'wp-signup.php' ) || runs( 'wp-activate.php' ) ) ) {
		return true;
	}
	if ( runs( 'wp-admin/admin-ajax.php' ) || runs( 'wp-admin/admin-post.php' ) ) {
		return false; // Visitors use them too.
	}
	foreach ( get_included_files() as $file ) {
		if ( 0 === strpos( $file, ABSPATH . 'wp-admin/' ) && 0 !== strpos( $file, ABSPATH . 'wp-admin/includes/' ) ) {
			return true;
		}
	}
	return false;
}

/**
 * Is a script of WordPress at work? The list of what PHP has loaded cannot be forged by an
 * address, as names in $_SERVER can.
 *
 * @param string $script Relative to WordPress.
 * @return bool
 */
function runs( $script ) {
	return in_array( ABSPATH . $script, get_included_files(), true );
}

/**
 * Answers 404 to whoever is not logged in.
 */
function refuse_strangers() {
	if ( is_user_logged_in() || is_post_password() ) {
		return;
	}
	nocache_headers();
	status_header( 404 );
	header( 'Content-Type: text/html; charset=utf-8' );
	echo '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex"><title>404 Not Found</title></head><body><h1>404 Not Found</h1></body></html>';
	exit;
}

/**
 * Does somebody send the password of a protected post to wp-login.php, and nothing that
 * wp-login.php would take for another action?
 *
 * @return bool
 */
function is_post_password() {
	// phpcs:disable WordPress.Security, WordPress.CSRF -- Compared and not used; the form carries no nonce.
	$action = isset( $_POST['action'] ) ? $_POST['action'] : ( isset( $_GET['action'] ) ? $_GET['action'] : '' );
	return runs( 'wp-login.php' ) && 'postpass' === $action && isset( $_POST['post_password'] ) && ! isset( $_GET['key'] ) && ! isset( $_GET['checkemail'] );
	// phpcs:enable
}

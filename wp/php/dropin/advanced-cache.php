<?php
/**
 * Plugin Name: WisPanel Page Cache
 * Description: Keeps whole pages for visitors who are not logged in, as files. Without a place to write the site works as if it had no cache.
 * Version: 1.0.0
 *
 * Put here by the WisPanel WordPress Toolkit, which also takes it away again. WordPress loads
 * it when WP_CACHE is true in wp-config.php. To do without for a while, define
 * WPTK_PAGE_CACHE_OFF as true there.
 *
 * What may differ between two visitors is never kept: a request with a query, with a cookie
 * that is not known to be a statistic's, with a login, or with a header that sites take
 * another address from, passes by. What a change of the site makes old is forgotten by hooks;
 * the rest after an hour.
 *
 * Pages are in wp-content/cache/wptk-page/GENERATION/NAME.html. The name is an HMAC of the
 * address, so that nobody can guess it, and forgetting everything is another generation: a
 * page that was begun before then is stored where nobody looks.
 *
 * PHP 7.4 syntax.
 *
 * @package wptk
 */

defined( 'ABSPATH' ) || exit;

// phpcs:disable WordPress.WP.AlternativeFunctions, WordPress.PHP.NoSilencedErrors.Discouraged -- WordPress is not there yet, and a cache that fails is no reason for a warning on the page.

/**
 * The page cache of one site.
 */
class WPTK_Page_Cache {

	/**
	 * Cookies that change no page: statistics, and WordPress's test whether cookies are kept.
	 */
	const HARMLESS = '/^(?:_ga|_gid|_gat|_gcl_|__utm|_fbp$|_fbc$|_pk_|_hj|_clck$|_clsk$|_uet|wordpress_test_cookie$)/';

	/**
	 * Options that no page shows, in front of all those that may.
	 */
	const UNSEEN = '/^(?:_|cron$|doing_cron|wptk_login_|rewrite_rules$|auto_updater|recently_|finished_|user_count|db_upgraded|can_compress|adminhash|auth|fresh_site|.*_children$|action_scheduler|.*(?:lock|last_run|timestamp)$)/';

	const MOST_PAGES = 4000;
	const MOST_BYTES = 4194304;

	/**
	 * Key of the names, and how many seconds a page lives.
	 *
	 * @var array
	 */
	private $settings;

	/**
	 * Where pages are.
	 *
	 * @var string
	 */
	private $dir;

	/**
	 * The generation that was in force when the request began.
	 *
	 * @var string
	 */
	private $generation = '';

	/**
	 * What is asked for, or '' for what is not kept.
	 *
	 * @var string
	 */
	private $key = '';

	/**
	 * When the request began.
	 *
	 * @var int
	 */
	private $began;

	/**
	 * Will everything be forgotten at the end of the request?
	 *
	 * @var bool
	 */
	private $stale = false;

	/**
	 * Reads the settings of this site.
	 */
	public function __construct() {
		$this->settings = array( /* settings */ ) + array(
			'secret' => '',
			'ttl'    => 3600,
		);
		$this->dir      = WP_CONTENT_DIR . '/cache/wptk-page';
		$this->began    = time();
	}

	/**
	 * Answers from the cache, or sees to it that WordPress's answer gets there.
	 */
	public function run() {
		if ( '' === $this->settings['secret'] || ( defined( 'WPTK_PAGE_CACHE_OFF' ) && WPTK_PAGE_CACHE_OFF ) ) {
			return;
		}
		$this->watch();
		// Only index.php says so: not the dashboard, the login, cron, AJAX or XML-RPC.
		if ( ! defined( 'WP_USE_THEMES' ) || ! WP_USE_THEMES || defined( 'WP_CLI' ) ) {
			return;
		}
		$this->say( 'bypass' );
		$this->key = $this->key();
		if ( '' === $this->key || is_link( $this->dir ) ) {
			return;
		}
		$this->generation = $this->generation();
		$page             = $this->read();
		if ( $page ) {
			foreach ( $page['headers'] as $header ) {
				header( $header );
			}
			$this->say( 'hit' );
			echo $page['body']; // phpcs:ignore WordPress.Security.EscapeOutput, WordPress.XSS -- a page as WordPress has made it.
			exit;
		}
		ob_start( array( $this, 'store' ) );
	}

	/**
	 * Says what became of the request.
	 *
	 * @param string $what One of hit, miss and bypass.
	 */
	private function say( $what ) {
		if ( ! headers_sent() ) {
			header( 'X-Wptk-Cache: ' . $what );
		}
	}

	/**
	 * What a page depends on, as text; '' when that is more than can be told.
	 *
	 * @return string
	 */
	private function key() {
		// phpcs:disable WordPress.Security.ValidatedSanitizedInput, WordPress.VIP -- Compared and hashed, not used.
		$server = $_SERVER + array(
			'REQUEST_METHOD'         => '',
			'REQUEST_URI'            => '',
			'HTTP_HOST'              => '',
			'HTTP_X_FORWARDED_PROTO' => '',
			'HTTP_USER_AGENT'        => '',
		);
		$uri    = (string) $server['REQUEST_URI'];
		if ( 'GET' !== $server['REQUEST_METHOD'] || ! preg_match( '~^/[^?#\s\x00-\x1f\x7f]{0,1000}$~D', $uri ) || preg_match( '~/(?:wp-json|wp-admin|feed)(?:/|$)|\.php~', $uri ) ) {
			return '';
		}
		if ( ! preg_match( '/^[a-z0-9.:\[\]-]{1,255}$/iD', $server['HTTP_HOST'] ) || ! in_array( $server['HTTP_X_FORWARDED_PROTO'], array( '', 'http', 'https' ), true ) ) {
			return '';
		}
		// Some sites take their address from these. What is asked for is then not what the key says.
		foreach ( array( 'AUTHORIZATION', 'X_ORIGINAL_URL', 'X_REWRITE_URL', 'X_HTTP_METHOD_OVERRIDE', 'X_FORWARDED_PREFIX' ) as $name ) {
			if ( isset( $server[ 'HTTP_' . $name ] ) ) {
				return '';
			}
		}
		if ( isset( $server['PHP_AUTH_USER'] ) || ( isset( $server['HTTP_X_FORWARDED_HOST'] ) && $server['HTTP_HOST'] !== $server['HTTP_X_FORWARDED_HOST'] ) ) {
			return '';
		}
		foreach ( array_keys( $_COOKIE ) as $name ) {
			if ( ! preg_match( self::HARMLESS, (string) $name ) ) {
				return '';
			}
		}
		// What wp_is_mobile() looks at, which themes ask.
		$mobile = preg_match( '~Mobile|Android|Silk/|Kindle|BlackBerry|Opera M(?:ini|obi)~', $server['HTTP_USER_AGENT'] );
		if ( isset( $server['HTTP_SEC_CH_UA_MOBILE'] ) ) {
			$mobile = '?1' === $server['HTTP_SEC_CH_UA_MOBILE'];
		}
		// phpcs:enable WordPress.Security.ValidatedSanitizedInput, WordPress.VIP
		return self::address( is_ssl() ? 'https' : 'http', $server['HTTP_HOST'], $uri, $server['HTTP_X_FORWARDED_PROTO'], $mobile ? '1' : '0' );
	}

	/**
	 * The key of an address. The toolkit makes the same for a page to be purged.
	 *
	 * @param string ...$parts Scheme, host, path, X-Forwarded-Proto, and 1 for a phone.
	 * @return string
	 */
	private static function address( ...$parts ) {
		$parts[1] = strtolower( $parts[1] );
		$parts[2] = preg_replace_callback(
			'/%[0-9A-Fa-f]{2}/',
			static function ( $found ) {
				return strtolower( $found[0] );
			},
			$parts[2]
		);
		return implode( "\n", $parts );
	}

	/**
	 * The generation in force; '' when there is none.
	 *
	 * @return string
	 */
	private function generation() {
		$found = @file_get_contents( $this->dir . '/generation', false, null, 0, 64 );
		return is_string( $found ) && preg_match( '/^[0-9a-f]{32}$/D', $found ) ? $found : '';
	}

	/**
	 * The file of a page.
	 *
	 * @param string $key Of address().
	 * @return string
	 */
	private function file( $key ) {
		return $this->dir . '/' . $this->generation . '/' . hash_hmac( 'sha256', $key, $this->settings['secret'] ) . '.html';
	}

	/**
	 * Reads the page that is asked for.
	 *
	 * @return array|null With headers and body.
	 */
	private function read() {
		$file = $this->file( $this->key );
		if ( '' === $this->generation || is_link( dirname( $file ) ) || is_link( $file ) ) {
			return null;
		}
		$page = @file_get_contents( $file, false, null, 0, self::MOST_BYTES + 65536 );
		$end  = is_string( $page ) ? strpos( $page, "\n" ) : false;
		if ( ! $end ) {
			return null;
		}
		$head = json_decode( substr( $page, 0, $end ), true );
		if ( ! is_array( $head ) || ! isset( $head['key'], $head['until'], $head['headers'] ) || $this->key !== $head['key'] || $head['until'] < $this->began ) {
			return null;
		}
		return array(
			'headers' => (array) $head['headers'],
			'body'    => substr( $page, $end + 1 ),
		);
	}

	/**
	 * Takes WordPress's answer on its way out. Never changes it.
	 *
	 * @param string $html  The page.
	 * @param int    $phase What PHP's output buffer is about to do.
	 * @return string
	 */
	public function store( $html, $phase ) {
		$whole = ( $phase & PHP_OUTPUT_HANDLER_START ) && ( $phase & PHP_OUTPUT_HANDLER_FINAL ) && ! ( $phase & PHP_OUTPUT_HANDLER_CLEAN );
		if ( ! $whole || ! $this->may_be_kept() || strlen( $html ) > self::MOST_BYTES || ! preg_match( '~</html>\s*(?:<!--.*)?$~isD', substr( $html, -2000 ) ) ) {
			return $html;
		}
		$headers = $this->headers();
		if ( $headers && $this->write( $headers, $html ) ) {
			$this->say( 'miss' );
		}
		return $html;
	}

	/**
	 * Is what WordPress has answered the same for everybody?
	 *
	 * @return bool
	 */
	private function may_be_kept() {
		$error = error_get_last();
		if ( $this->stale || 200 !== http_response_code() || ( $error && $error['type'] & ( E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR ) ) || connection_aborted() ) {
			return false;
		}
		if ( ! function_exists( 'did_action' ) || ! did_action( 'template_redirect' ) || ( defined( 'DONOTCACHEPAGE' ) && DONOTCACHEPAGE ) || ( defined( 'REST_REQUEST' ) && REST_REQUEST ) ) {
			return false;
		}
		if ( is_user_logged_in() || is_feed() || is_search() || is_404() || is_preview() || is_robots() || is_trackback() || ( is_singular() && post_password_required() ) ) {
			return false;
		}
		// The address in the database: WP_HOME may be whatever the visitor has asked for.
		$options = wp_load_alloptions();
		$home    = isset( $options['home'] ) ? (array) wp_parse_url( $options['home'] ) : array();
		$host    = ( isset( $home['host'] ) ? $home['host'] : '' ) . ( isset( $home['port'] ) ? ':' . $home['port'] : '' );
		return isset( $_SERVER['HTTP_HOST'] ) && strtolower( $host ) === strtolower( $_SERVER['HTTP_HOST'] ); // phpcs:ignore WordPress.Security.ValidatedSanitizedInput, WordPress.VIP -- compared.
	}

	/**
	 * The headers that belong to the page; empty when one of them says that it is not for everybody.
	 *
	 * @return array
	 */
	private function headers() {
		$keep = array();
		$html = false;
		foreach ( headers_list() as $header ) {
			list( $name, $value ) = array_map( 'trim', explode( ':', strtolower( $header ), 2 ) );
			switch ( $name ) {
				case 'set-cookie':
				case 'location':
				case 'www-authenticate':
				case 'content-encoding':
					return array();
				case 'cache-control':
					if ( preg_match( '/private|no-store|no-cache|max-age=0/', $value ) ) {
						return array();
					}
					break;
				case 'vary':
					if ( preg_replace( '/accept-encoding|cookie|[\s,]/', '', $value ) ) {
						return array();
					}
					break;
				case 'content-type':
					$html = 0 === strpos( $value, 'text/html' );
					break;
				case 'x-wptk-cache':
				case 'x-powered-by':
				case 'content-length':
				case 'date':
					continue 2;
			}
			$keep[] = $header;
		}
		return $html ? $keep : array();
	}

	/**
	 * Writes a page, beside its name first.
	 *
	 * @param array  $headers Its headers.
	 * @param string $html    The page.
	 * @return bool
	 */
	private function write( array $headers, $html ) {
		$file = $this->file( $this->key );
		// A page that was purged after this one was begun.
		clearstatcache();
		if ( '' !== $this->generation && 0 === @filesize( $file ) && @filemtime( $file ) >= $this->began ) {
			return false;
		}
		if ( ! $this->prepare() ) {
			return false;
		}
		$file = $this->file( $this->key );
		$head = json_encode(
			array(
				'key'     => $this->key,
				'until'   => $this->began + (int) $this->settings['ttl'],
				'headers' => $headers,
			)
		);
		return $head && $this->put( $file, $head . "\n" . $html );
	}

	/**
	 * Writes a file that nobody else may read, whole or not at all.
	 *
	 * @param string $file Its name.
	 * @param string $data What goes into it.
	 * @return bool
	 */
	private function put( $file, $data ) {
		$beside = dirname( $file ) . '/.' . bin2hex( random_bytes( 8 ) );
		$handle = @fopen( $beside, 'xb' );
		if ( ! $handle ) {
			return false;
		}
		@chmod( $beside, 0600 );
		$done = strlen( $data ) === @fwrite( $handle, $data );
		if ( fclose( $handle ) && $done && @rename( $beside, $file ) ) {
			return true;
		}
		@unlink( $beside );
		return false;
	}

	/**
	 * Makes the directories, and now and then room in them.
	 *
	 * @return bool
	 */
	private function prepare() {
		if ( ! is_dir( $this->dir ) ) {
			@mkdir( $this->dir, 0700, true );
			// For servers that run as the same user.
			$this->put( $this->dir . '/.htaccess', "Require all denied\n" );
			$this->put( $this->dir . '/index.html', '' );
		}
		if ( '' === $this->generation ) {
			$this->generation = $this->generation() ? $this->generation() : $this->begin();
		}
		$pages = $this->dir . '/' . $this->generation;
		if ( '' === $this->generation || is_link( $this->dir ) || is_link( $pages ) || ( ! is_dir( $pages ) && ! @mkdir( $pages, 0700 ) ) ) {
			return false;
		}
		return 1 !== random_int( 1, 100 ) || $this->make_room( $pages );
	}

	/**
	 * Removes what is too old, and everything when that is not enough.
	 *
	 * @param string $pages The directory.
	 * @return bool
	 */
	private function make_room( $pages ) {
		$left = 0;
		foreach ( (array) @scandir( $pages ) as $name ) {
			$file = $pages . '/' . $name;
			if ( ! is_file( $file ) ) {
				continue;
			}
			if ( (int) @filemtime( $file ) < $this->began - (int) $this->settings['ttl'] ) {
				@unlink( $file );
			} else {
				++$left;
			}
		}
		return $left < self::MOST_PAGES || ( $this->forget() && false );
	}

	/**
	 * Begins a generation; '' when that cannot be written down.
	 *
	 * @return string
	 */
	private function begin() {
		$generation = bin2hex( random_bytes( 16 ) );
		return $this->put( $this->dir . '/generation', $generation ) ? $generation : '';
	}

	/**
	 * Forgets all pages.
	 *
	 * @return bool
	 */
	public function forget() {
		if ( is_link( $this->dir ) || ! is_dir( $this->dir ) ) {
			return true;
		}
		if ( '' === $this->begin() ) {
			return false;
		}
		$now = $this->generation();
		foreach ( (array) @scandir( $this->dir ) as $name ) {
			$old = $this->dir . '/' . $name;
			if ( $now === $name || ! preg_match( '/^[0-9a-f]{32}$/D', (string) $name ) || is_link( $old ) ) {
				continue;
			}
			foreach ( (array) @scandir( $old ) as $file ) {
				if ( '.' !== $file && '..' !== $file ) {
					@unlink( $old . '/' . $file );
				}
			}
			@rmdir( $old );
		}
		return true;
	}

	/**
	 * Forgets now, for whoever asks meanwhile, and once more when the request is done with all
	 * that belongs to its change.
	 */
	public function outdate() {
		if ( ! $this->stale ) {
			$this->stale = true;
			register_shutdown_function( array( $this, 'forget' ) );
			$this->forget();
		}
	}

	/**
	 * Has changes of the site forget its pages.
	 */
	private function watch() {
		$outdate = array( $this, 'outdate' );
		foreach ( array( 'deleted_post', 'wp_update_comment_count', 'edit_comment', 'switch_theme', 'customize_save_after', 'wp_update_nav_menu', 'created_term', 'edited_term', 'delete_term', 'profile_update', 'upgrader_process_complete', 'activated_plugin', 'deactivated_plugin', '_core_updated_successfully' ) as $hook ) {
			add_action( $hook, $outdate );
		}
		add_action(
			'transition_post_status',
			static function ( $status, $before ) use ( $outdate ) {
				// A menu, a block template or a picture is no page, and on one.
				if ( array_intersect( array( 'publish', 'private', 'inherit' ), array( $status, $before ) ) ) {
					$outdate();
				}
			},
			10,
			2
		);
		$option = static function ( $name ) use ( $outdate ) {
			if ( is_string( $name ) && ! preg_match( self::UNSEEN, $name ) ) {
				$outdate();
			}
		};
		foreach ( array( 'updated_option', 'added_option', 'deleted_option' ) as $hook ) {
			add_action( $hook, $option );
		}
	}

	/**
	 * Stores a page and reads it back; says what is wrong, or nothing.
	 *
	 * @return string
	 */
	public function test() {
		$this->key        = self::address( 'http', 'test.invalid', '/' . bin2hex( random_bytes( 8 ) ), '', '0' );
		$this->generation = $this->generation();
		$stored           = ! is_link( $this->dir ) && $this->write( array( 'Content-Type: text/html' ), '<html></html>' );
		$page             = $stored ? $this->read() : null;
		$stored && @unlink( $this->file( $this->key ) );
		return $page && '<html></html>' === $page['body'] ? '' : 'pages cannot be kept in ' . $this->dir;
	}
}

$wptk_page_cache = new WPTK_Page_Cache();
$wptk_page_cache->run();

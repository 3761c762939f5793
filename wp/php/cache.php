<?php
/**
 * Loaded for commands about caches (--require).
 *
 * "wptk cache-test" tries a drop-in for the object cache, before it is put in place, from the
 * process that it will run in: same PHP, same user. "wptk cache" tells how the object cache
 * does, "wptk page-cache" empties the page cache of the plugins that are known here, and
 * "wptk page-test" tries our own page cache, where it is.
 * All read one JSON object from standard input and print one.
 *
 * PHP 7.4 syntax.
 */

call_user_func(
	static function () {
		$input = static function () {
			$in = json_decode( stream_get_contents( STDIN ), true );
			return is_array( $in ) ? $in : array();
		};

		// Takes {"code":"<?php …"}, answers {"ok","error"}.
		WP_CLI::add_command(
			'wptk cache-test',
			static function () use ( $input ) {
				$in   = $input();
				$file = tempnam( sys_get_temp_dir(), 'wptk' );
				file_put_contents( $file, $in['code'] );
				define( 'ABSPATH', __DIR__ . '/' );
				require $file;
				unlink( $file );
				$value = bin2hex( random_bytes( 16 ) );
				$write = new WPTK_Object_Cache();
				$write->set( 'test', $value, 'wptk', 60 );
				$read = new WPTK_Object_Cache();
				$got  = $read->get( 'test', 'wptk' );
				$read->delete( 'test', 'wptk' );
				$error = $write->error() ? $write->error() : $read->error();
				echo json_encode(
					array(
						'ok'    => '' === $error && $value === $got,
						'error' => $error,
					)
				);
			},
			array(
				'shortdesc' => 'Tries a drop-in that is read from standard input.',
				'when'      => 'before_wp_load',
			)
		);

		// Takes {"set":"text"} or {} to read it back, {"flush":true} to flush.
		WP_CLI::add_command(
			'wptk cache',
			static function () use ( $input ) {
				global $wp_object_cache;
				$in      = $input();
				$ours    = is_object( $wp_object_cache ) && 'WPTK_Object_Cache' === get_class( $wp_object_cache );
				$content = realpath( WP_CONTENT_DIR );
				$answer  = array(
					'using'   => (bool) wp_using_ext_object_cache(),
					'ours'    => $ours,
					'note'    => (string) wp_cache_get( 'note', 'wptk' ),
					'root'    => (string) realpath( ABSPATH ),
					'content' => false === $content ? '' : $content,
				);
				if ( isset( $in['set'] ) ) {
					wp_cache_set( 'note', (string) $in['set'], 'wptk', 300 );
				}
				if ( ! empty( $in['flush'] ) ) {
					$answer['flushed'] = (bool) wp_cache_flush();
				}
				$answer['error'] = $ours ? $wp_object_cache->error() : '';
				echo json_encode( $answer, JSON_INVALID_UTF8_SUBSTITUTE );
			},
			array( 'shortdesc' => 'Tells how the object cache does.' )
		);

		// Answers {"error"}. WP-CLI does not load the drop-in by itself.
		WP_CLI::add_command(
			'wptk page-test',
			static function () {
				require_once WP_CONTENT_DIR . '/advanced-cache.php';
				$cache = class_exists( 'WPTK_Page_Cache' ) ? new WPTK_Page_Cache() : null;
				echo json_encode( array( 'error' => $cache ? $cache->test() : 'the drop-in is not there' ), JSON_INVALID_UTF8_SUBSTITUTE );
			},
			array( 'shortdesc' => 'Tries the page cache.' )
		);

		// Input: {"urls":["https://…"]}, or {} for everything, or {"look":true} for the name of
		// the plugin alone. The functions are those that each
		// plugin documents for others to call.
		$providers = array(
			'WP Rocket'        => array(
				'all' => static function () {
					rocket_clean_domain();
				},
				'url' => static function ( $url ) {
					rocket_clean_files( array( $url ) );
				},
				'has' => array( 'rocket_clean_domain', 'rocket_clean_files' ),
			),
			'W3 Total Cache'   => array(
				'all' => static function () {
					w3tc_flush_posts();
				},
				'url' => static function ( $url ) {
					w3tc_flush_url( $url );
				},
				'has' => array( 'w3tc_flush_posts', 'w3tc_flush_url' ),
			),
			'WP Super Cache'   => array(
				'all' => static function () {
					wp_cache_clear_cache();
				},
				'url' => static function ( $url ) {
					wpsc_delete_url_cache( $url );
				},
				'has' => array( 'wp_cache_clear_cache', 'wpsc_delete_url_cache' ),
			),
			'WP Fastest Cache' => array(
				'all' => static function () {
					wpfc_clear_all_cache();
				},
				'has' => array( 'wpfc_clear_all_cache' ),
			),
			'LiteSpeed Cache'  => array(
				'all'    => static function () {
					do_action( 'litespeed_purge_all' );
				},
				'url'    => static function ( $url ) {
					do_action( 'litespeed_purge_url', $url );
				},
				'action' => 'litespeed_purge_all',
			),
			'Cache Enabler'    => array(
				'all'    => static function () {
					do_action( 'cache_enabler_clear_complete_cache' );
				},
				'url'    => static function ( $url ) {
					do_action( 'cache_enabler_clear_page_cache_by_url', $url );
				},
				'action' => 'cache_enabler_clear_complete_cache',
			),
		);
		WP_CLI::add_command(
			'wptk page-cache',
			static function () use ( $input, $providers ) {
				$in     = $input();
				$urls   = isset( $in['urls'] ) && is_array( $in['urls'] ) ? $in['urls'] : array();
				$answer = array(
					'provider' => '',
					'emptied'  => false,
					'whole'    => ! $urls,
				);
				foreach ( $providers as $name => $provider ) {
					$has = isset( $provider['action'] ) ? has_action( $provider['action'] ) : ! array_filter( $provider['has'], static function ( $f ) {
						return ! function_exists( $f );
					} );
					if ( ! $has ) {
						continue;
					}
					$answer['provider'] = $name;
					if ( ! empty( $in['look'] ) ) {
						break;
					}
					if ( $urls && isset( $provider['url'] ) ) {
						array_map( $provider['url'], $urls );
					} else {
						$provider['all']();
						$answer['whole'] = true;
					}
					$answer['emptied'] = true;
					break;
				}
				echo json_encode( $answer );
			},
			array( 'shortdesc' => 'Empties the page cache.' )
		);
	}
);

<?php
/**
 * Loaded for looking at a site as a whole (--require).
 *
 * "wptk sight" prints, as JSON, the version and the addresses of some pages and posts, with
 * everything loaded, as a visit has it. With --render it also renders the front page: for
 * nodes that do not know their web server. No request leaves the process.
 *
 * PHP 7.4 syntax.
 */

call_user_func(
	static function () {
		WP_CLI::add_wp_hook(
			'pre_http_request',
			static function () {
				return new WP_Error( 'wptk_sight', 'No requests while the site is looked at.' );
			},
			PHP_INT_MAX
		);
		WP_CLI::add_command(
			'wptk sight',
			static function ( $args, $options ) {
				$links = array();
				$found = get_posts(
					array(
						'post_type'        => array( 'page', 'post' ),
						'post_status'      => 'publish',
						'has_password'     => false,
						'numberposts'      => 5,
						'orderby'          => 'ID',
						'order'            => 'DESC',
						'suppress_filters' => true,
					)
				);
				foreach ( $found as $post ) {
					$links[] = (string) get_permalink( $post );
				}
				$html = '';
				if ( ! empty( $options['render'] ) ) {
					ob_start();
					add_filter( 'redirect_canonical', '__return_false', PHP_INT_MAX );
					defined( 'WP_USE_THEMES' ) || define( 'WP_USE_THEMES', true );
					$GLOBALS['wp']->main( '' );
					require ABSPATH . WPINC . '/template-loader.php';
					$html = (string) ob_get_clean();
				}
				echo json_encode(
					array(
						'version' => (string) $GLOBALS['wp_version'],
						'home'    => (string) home_url( '/' ),
						'links'   => $links,
						'length'  => strlen( $html ),
						'title'   => preg_match( '~<title[^>]*>(.{0,400}?)</title>~is', $html, $m ) ? $m[1] : '',
					),
					JSON_INVALID_UTF8_SUBSTITUTE
				);
			},
			array(
				'shortdesc' => 'Prints what a look at the whole site needs.',
				'synopsis'  => array(
					array(
						'type'     => 'flag',
						'name'     => 'render',
						'optional' => true,
					),
				),
			)
		);
	}
);
